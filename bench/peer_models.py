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
    return convnet((16, 24, 40), depth=2, stem=1)


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


class Block(nn.Module):
    """Pre-norm transformer block."""
    def __init__(self, width, heads, causal, approximate="none", eps=1e-6):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate), nn.Linear(4 * width, width))

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(a.transpose(1, 2).reshape(n, t, d))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    def __init__(self, image=32, patch=4, width=192, depth=12, heads=3, classes=100):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads, False) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class GptMini(nn.Module):
    def __init__(self, vocab=8192, context=256, width=384, depth=6, heads=6):
        super().__init__()
        self.embed, self.positions = nn.Embedding(vocab, width), nn.Embedding(context, width)
        for table in (self.embed, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.blocks = nn.Sequential(*[Block(width, heads, True, "tanh", 1e-5) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, 1e-5)

    def forward(self, x):
        h = self.embed(x) + self.positions(torch.arange(x.shape[1]))
        return F.linear(self.norm(self.blocks(h)), self.embed.weight)


class UnetBlock(nn.Module):
    def __init__(self, i, o, condition, resample=None, attends=False):
        super().__init__()
        self.resample, self.attends = resample, attends
        groups = lambda c: min(32, c // 4)
        self.norm0, self.conv0 = nn.GroupNorm(groups(i), i, 1e-6), nn.Conv2d(i, o, 3, padding=1)
        self.affine = nn.Linear(condition, o)
        self.norm1, self.conv1 = nn.GroupNorm(groups(o), o, 1e-6), nn.Conv2d(o, o, 3, padding=1)
        self.skip = nn.Conv2d(i, o, 1) if i != o or resample else None
        if attends:
            self.norm2, self.qkv, self.proj = nn.GroupNorm(groups(o), o, 1e-6), nn.Conv2d(o, 3 * o, 1), nn.Conv2d(o, o, 1)

    def change(self, x):
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2) if self.resample == "up" else x

    def forward(self, x, c):
        h = self.conv0(self.change(F.silu(self.norm0(x))))
        h = F.silu(self.norm1(h + self.affine(c)[:, :, None, None]))
        h = self.conv1(h)
        x = self.change(x) if self.skip is None else self.skip(self.change(x))
        x = (x + h) * 0.5 ** 0.5
        if self.attends:
            n, ch, height, width = x.shape
            q, k, v = self.qkv(self.norm2(x)).flatten(2).transpose(1, 2).reshape(n, 1, -1, 3 * ch).chunk(3, -1)
            a = F.scaled_dot_product_attention(q, k, v)
            a = self.proj(a.reshape(n, height, width, ch).permute(0, 3, 1, 2))
            x = (x + a) * 0.5 ** 0.5
        return x


class Unet(nn.Module):
    """DDPM++ as EDM has it: the same blocks, extents and widths as ours."""
    def __init__(self, width=64, mult=(1, 2, 2), blocks=2, attention=(16,), image=32):
        super().__init__()
        condition = 4 * width
        self.width = width
        self.embed0, self.embed1 = nn.Linear(width, condition), nn.Linear(condition, condition)
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [width], width
        for level, m in enumerate(mult):
            extent = image >> level
            if level:
                self.down.append(UnetBlock(c, c, condition, "down"))
                skips.append(c)
            for _ in range(blocks):
                self.down.append(UnetBlock(c, width * m, condition, attends=extent in attention))
                c = width * m
                skips.append(c)
        self.mid = nn.ModuleList([UnetBlock(c, c, condition, attends=True), UnetBlock(c, c, condition)])
        self.joins = []
        for level, m in reversed(list(enumerate(mult))):
            extent = image >> level
            if level < len(mult) - 1:
                self.up.append(UnetBlock(c, c, condition, "up"))
                self.joins.append(False)
            for b in range(blocks + 1):
                self.up.append(UnetBlock(c + skips.pop(), width * m, condition, attends=extent in attention and b == blocks))
                self.joins.append(True)
                c = width * m
        self.norm, self.head = nn.GroupNorm(min(32, c // 4), c, 1e-6), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x, t):
        f = (1 / 10000) ** (torch.arange(self.width // 2) / (self.width // 2))
        e = t[:, None] * f
        c = F.silu(self.embed1(F.silu(self.embed0(torch.cat([e.cos(), e.sin()], 1)))))
        x = self.stem(x)
        skips = [x]
        for block in self.down:
            x = block(x, c)
            skips.append(x)
        for block in self.mid:
            x = block(x, c)
        for block, joins in zip(self.up, self.joins):
            x = block(torch.cat([x, skips.pop()], 1) if joins else x, c)
        return self.head(F.silu(self.norm(x)))


def module(build, loss):
    """Training step (AdamW) and evaluation of any module, given its loss."""
    def train():
        model = build().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

        def step():
            value = loss(model)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            return float(value.detach())
        return step

    def evaluate():
        model = build().eval()

        def step():
            with torch.inference_mode():
                return float(loss(model))
        return step
    return train, evaluate


def next_token():
    tokens = torch.randint(8192, (4, 256))
    return lambda model: F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def edm_loss():
    clean = (torch.randn(8, 3, 32, 32) * 0.5).to(memory_format=torch.channels_last)
    noise = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last)
    t = (torch.randn(8) * 1.2 - 1.2).exp()
    sigma = t[:, None, None, None]

    def loss(model):
        total = sigma ** 2 + 0.25
        x = clean + noise * sigma
        out = 0.25 / total * x + sigma * 0.5 / total.sqrt() * model(x / total.sqrt(), t.log() / 4)
        return (total / (sigma * 0.5) ** 2 * (out - clean) ** 2).mean()
    return loss


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
    out["step_vit_tiny"], out["eval_vit_tiny"] = classifier(Vit, (32, 3, 32, 32), 100)
    out["step_gpt_mini"], out["eval_gpt_mini"] = module(GptMini, next_token())
    unet = lambda: Unet().to(memory_format=torch.channels_last)
    out["step_unet_edm"], out["eval_unet_edm"] = module(unet, edm_loss())
    return out
