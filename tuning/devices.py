"""What the backend computes on in this process."""

import keras


def accelerators() -> list[str]:
    """GPUs that the backend sees."""
    names: list[str] = [str(name) for name in keras.distribution.list_devices()]
    return [name.upper() for name in names if "cpu" not in name.lower()]


def compiles() -> bool:
    """TensorFlow's XLA makes small convolutional nets about twice as slow on CPUs."""
    return bool(accelerators()) or keras.backend.backend() != "tensorflow"


def for_prediction(model: keras.Model) -> None:
    """Keras compiles a model that it predicts with unless told not to."""
    if not compiles():
        model.jit_compile = False
