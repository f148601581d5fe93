"""Operations in models of Keras that are no layers: those of `keras.ops` and of TensorFlow."""
