"""bench/peer_models.py -- whole steps of the peer: the same networks, optimisers and batches as bench/models.cpp."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def classifier(build, shape, classes, lr=1e-3):
    """Training step and evaluation of an image classifier: cross-entropy, AdamW."""
    def data():
        return torch.randn(shape).to(memory_format=torch.channels_last), torch.randint(classes, (shape[0],))

    def train():
        model = build().to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
        x, y = data()

        def step():
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return float(loss.detach())
        return step

    def evaluate():
        model = build().to(memory_format=torch.channels_last).eval()
        x, y = data()

        def step():
            with torch.inference_mode():
                return float(F.cross_entropy(model(x), y))
        return step
    return train, evaluate


def conv_block(i, o):
    return [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


def convnet(widths, depth=1, stem=0, classes=10):
    layers, width = [], 1
    for s, w in enumerate(widths):
        if s:
            layers.append(nn.MaxPool2d(2))
        for _ in range((stem or depth) if s == 0 else depth):
            layers += conv_block(width, w)
            width = w
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def student():
    return convnet((20, 40, 72))


def teacher():
    return convnet((32, 64, 128), depth=2, stem=1)


class Residual(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
            nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        self.shortcut = nn.Identity() if i == o and stride == 1 else nn.Sequential(
            nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet_cifar(depth, width=1, classes=100):
    """The residual network of 6 n + 2 layers for 32x32 images."""
    channels = 16 if width == 1 else 32
    layers = conv_block(3, channels)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            out = 16 * width << stage
            layers.append(Residual(channels, out, 2 if stage and not block else 1))
            channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def distil(cached):
    """One step of logit distillation at temperature 4 on a batch of 128, the teacher called or its answers given."""
    def prepare():
        net = student().to(memory_format=torch.channels_last).train()
        guide = teacher().to(memory_format=torch.channels_last).eval()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
        x, y = torch.randn(128, 1, 28, 28).to(memory_format=torch.channels_last), torch.randint(10, (128,))
        with torch.no_grad():
            answers = guide(x)

        def step():
            with torch.no_grad():
                t = answers if cached else guide(x)
            s = net(x)
            kd = F.kl_div(F.log_softmax(s / 4, -1), F.log_softmax(t / 4, -1), log_target=True, reduction="batchmean")
            loss = 0.1 * F.cross_entropy(s, y) + 0.9 * 16 * kd
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return float(loss.detach())
        return step
    return prepare


def warm_up():
    """Loads what every row loads: convolutions, products, the autograd engine."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 4))

    def step():
        net(torch.randn(2, 3, 8, 8)).sum().backward()
        return 0.0
    return step


def cases():
    out = {"warm_up": warm_up}
    out["step_student"], out["eval_student"] = classifier(student, (128, 1, 28, 28), 10)
    for name, build in {"resnet20": lambda: resnet_cifar(20), "resnet8x4": lambda: resnet_cifar(8, 4)}.items():
        out[f"step_{name}"], out[f"eval_{name}"] = classifier(build, (64, 3, 32, 32), 100)
    out["step_kd_cached"], out["step_kd_live"] = distil(True), distil(False)
    return out
