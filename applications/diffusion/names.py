"""Names that options may have; no backend is needed for them."""

DATA_SETS = ("digits", "mnist", "fashion_mnist")
SCHEDULES = (
    "cosine", "edm", "linear_beta", "rectified", "sigmoid", "sub_variance_preserving", "variance_exploding",
    "variance_preserving",
)  # fmt: skip
PARAMETRISATIONS = ("edm", "epsilon", "score", "v", "velocity", "x0")
WEIGHTINGS = ("edm", "likelihood", "logit_normal", "min_snr", "simple", "snr", "target")
SAMPLERS = (
    "adams_bashforth", "ancestral", "annealed_langevin", "ddim", "dpm_solver_plus_plus", "euler", "heun",
    "predictor_corrector",
)  # fmt: skip
GRIDS = ("uniform", "trailing", "leading", "quadratic", "karras", "log_snr")
