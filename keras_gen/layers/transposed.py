"""The transposed convolution of Keras, by torch's own operation where that is the same.

With a kernel of k pixels and a stride of s <= k an image of n pixels becomes one of (n - 1) s + k, of which "same"
keeps n s. Where k - s is even, as many pixels are cut off on the left as on the right, and torch cuts them itself.
"""

import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable(package="keras_gen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, faster on torch: same arguments, weights and results."""

    def call(self, inputs):
        margins = [k - s for k, s in zip(self.kernel_size, self.strides, strict=True)]
        if backend.transposed_convolution is None or not self._is_plain(margins):
            return super().call(inputs)
        kernel = ops.convert_to_tensor(self.kernel)
        bias = ops.convert_to_tensor(self.bias) if self.use_bias else None
        h = backend.transposed_convolution(inputs, kernel, bias, self.strides, [m // 2 for m in margins])
        return h if self.activation is None else self.activation(h)

    def _is_plain(self, margins):
        whole = self.padding == "same" and self.output_padding is None and set(self.dilation_rate) == {1}
        return whole and self.data_format == "channels_last" and all(m >= 0 and m % 2 == 0 for m in margins)
