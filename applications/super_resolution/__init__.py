"""Super-resolution of photographs: train a model, evaluate it, upscale pictures. See `__main__`."""
