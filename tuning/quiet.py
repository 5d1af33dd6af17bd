"""What commands set so that libraries do not talk to the user."""

import optuna


def quiet_optuna() -> None:
    """No line for each study that is created."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
