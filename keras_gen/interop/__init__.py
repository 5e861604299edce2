"""Objects of other libraries as objects of this one, and the reverse.

Nothing imports this room, nor is it a part of `import keras_gen`: each library has a module of its own here, which is
imported by its name, such as `keras_gen.interop.tfp`.
"""
