"""Networks that denoise: of a noisy x and its log signal-to-noise ratio they make something of the shape of x."""
