"""The applications of Keras that the family `transfer` can stand on.

Measured by building each with Keras 3.15; a test builds them again. Left out are ConvNeXtLarge and
ConvNeXtXLarge, of 196 and 348 million parameters: more than a slot trains.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """A net of `keras.applications` without its classification head.

    Args:
        application: its class there.
        parameters: for images of 3 channels.
        parameters_per_channel: what one more channel adds.
        features: channels of its last map.
        smallest: height and width, in pixels, below which it cannot be built.
        convention: how its authors scaled the pixels: ``tf`` [-1, 1]; ``torch`` [0, 1], then by ImageNet's
            means and deviations; ``caffe`` [0, 255] with blue first, less the means; ``raw`` [0, 255], since
            it scales them itself.
    """

    application: str
    parameters: int
    parameters_per_channel: int
    features: int
    smallest: int
    convention: str

    def count_parameters(self, channels: int) -> int:
        return self.parameters + (channels - 3) * self.parameters_per_channel


BACKBONES = {
    "xception": Backbone("Xception", 20_861_480, 288, 2_048, 71, "tf"),
    "vgg16": Backbone("VGG16", 14_714_688, 576, 512, 32, "caffe"),
    "vgg19": Backbone("VGG19", 20_024_384, 576, 512, 32, "caffe"),
    "resnet50": Backbone("ResNet50", 23_587_712, 3_136, 2_048, 32, "caffe"),
    "resnet101": Backbone("ResNet101", 42_658_176, 3_136, 2_048, 32, "caffe"),
    "resnet152": Backbone("ResNet152", 58_370_944, 3_136, 2_048, 32, "caffe"),
    "resnet50_v2": Backbone("ResNet50V2", 23_564_800, 3_136, 2_048, 32, "tf"),
    "resnet101_v2": Backbone("ResNet101V2", 42_626_560, 3_136, 2_048, 32, "tf"),
    "resnet152_v2": Backbone("ResNet152V2", 58_331_648, 3_136, 2_048, 32, "tf"),
    "inception_v3": Backbone("InceptionV3", 21_802_784, 288, 2_048, 75, "tf"),
    "inception_resnet_v2": Backbone("InceptionResNetV2", 54_336_736, 288, 1_536, 75, "tf"),
    "mobilenet": Backbone("MobileNet", 3_228_864, 288, 1_024, 32, "tf"),
    "mobilenet_v2": Backbone("MobileNetV2", 2_257_984, 288, 1_280, 32, "tf"),
    "mobilenet_v3_small": Backbone("MobileNetV3Small", 939_120, 144, 576, 32, "raw"),
    "mobilenet_v3_large": Backbone("MobileNetV3Large", 2_996_352, 144, 960, 32, "raw"),
    "densenet121": Backbone("DenseNet121", 7_037_504, 3_136, 1_024, 32, "torch"),
    "densenet169": Backbone("DenseNet169", 12_642_880, 3_136, 1_664, 32, "torch"),
    "densenet201": Backbone("DenseNet201", 18_321_984, 3_136, 1_920, 32, "torch"),
    "nasnet_mobile": Backbone("NASNetMobile", 4_269_716, 288, 1_056, 32, "tf"),
    "nasnet_large": Backbone("NASNetLarge", 84_916_818, 864, 4_032, 32, "tf"),
    "efficientnet_b0": Backbone("EfficientNetB0", 4_049_571, 290, 1_280, 32, "raw"),
    "efficientnet_b1": Backbone("EfficientNetB1", 6_575_239, 290, 1_280, 32, "raw"),
    "efficientnet_b2": Backbone("EfficientNetB2", 7_768_569, 290, 1_408, 32, "raw"),
    "efficientnet_b3": Backbone("EfficientNetB3", 10_783_535, 362, 1_536, 32, "raw"),
    "efficientnet_b4": Backbone("EfficientNetB4", 17_673_823, 434, 1_792, 32, "raw"),
    "efficientnet_b5": Backbone("EfficientNetB5", 28_513_527, 434, 2_048, 32, "raw"),
    "efficientnet_b6": Backbone("EfficientNetB6", 40_960_143, 506, 2_304, 32, "raw"),
    "efficientnet_b7": Backbone("EfficientNetB7", 64_097_687, 578, 2_560, 32, "raw"),
    "efficientnet_v2_b0": Backbone("EfficientNetV2B0", 5_919_312, 288, 1_280, 32, "raw"),
    "efficientnet_v2_b1": Backbone("EfficientNetV2B1", 6_931_124, 288, 1_280, 32, "raw"),
    "efficientnet_v2_b2": Backbone("EfficientNetV2B2", 8_769_374, 288, 1_408, 32, "raw"),
    "efficientnet_v2_b3": Backbone("EfficientNetV2B3", 12_930_622, 360, 1_536, 32, "raw"),
    "efficientnet_v2_s": Backbone("EfficientNetV2S", 20_331_360, 216, 1_280, 32, "raw"),
    "efficientnet_v2_m": Backbone("EfficientNetV2M", 53_150_388, 216, 1_280, 32, "raw"),
    "efficientnet_v2_l": Backbone("EfficientNetV2L", 117_746_848, 288, 1_280, 32, "raw"),
    "convnext_tiny": Backbone("ConvNeXtTiny", 27_820_128, 1_536, 768, 32, "raw"),
    "convnext_small": Backbone("ConvNeXtSmall", 49_454_688, 1_536, 768, 32, "raw"),
    "convnext_base": Backbone("ConvNeXtBase", 87_566_464, 2_048, 1_024, 32, "raw"),
}

_SNAKE_NAMES = {backbone.application: name for name, backbone in BACKBONES.items()}


def snake_name(application: str) -> str:
    """The name in `BACKBONES` of an application's class."""
    return _SNAKE_NAMES[application]
