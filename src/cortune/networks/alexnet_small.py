"""A small AlexNet for the simulated brain: the same layer names, minutes on a laptop.

The layer indices are AlexNet's (``features.2`` is the first pooling, ``classifier.5`` the
last hidden ReLU), each convolution is followed by batch normalisation, without which a
net of this width does not train from its default initialisation, and every stage samples
its input symmetrically (strides, kernels and padding leave no column over), so that the
geometry itself prefers neither hemifield.
"""

from __future__ import annotations

from torch import Tensor, nn


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(n_out)
    )


class AlexNetSmall(nn.Module):
    """AlexNet's layout at a fraction of its width, for 64-pixel images.

    Parameters
    ----------
    num_classes : int
        Width of ``classifier.6``.
    dropout : float
        Dropout before the two hidden fully connected layers.
    """

    def __init__(self, num_classes: int = 20, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, 32, 6, stride=2, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _conv(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _conv(64, 96, 3),
            nn.ReLU(),
            _conv(96, 96, 3),
            nn.ReLU(),
            _conv(96, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(64 * 16, 256),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, 3, s, s), normalised, to class scores (n, num_classes)."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))  # type: ignore[no-any-return]
