#!/usr/bin/env python3
"""bench/peer.py -- the rows of the benchmark program in PyTorch, behind the same protocol (see bench/main.cpp).

Eager PyTorch as its documentation advises for speed on the CPU: channels-last images and weights, fused optimisers,
scaled_dot_product_attention, set_to_none, no autograd where nothing is differentiated.
"""
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer_models

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
torch.manual_seed(1)
CASES = {}


def first(t):
    return float(t.detach().reshape(-1)[0])


def forward(name, inputs, f):
    def prepare():
        tensors = inputs()

        def step():
            with torch.no_grad():
                return first(f(*tensors))
        return step
    CASES[name] = prepare


def both(name, inputs, f):
    def prepare():
        tensors = [t.requires_grad_() for t in inputs()]
        cot = torch.randn_like(f(*tensors).detach())

        def step():
            return first(torch.autograd.grad(f(*tensors), tensors, cot)[0])
        return step
    CASES[name] = prepare


def add_one():
    x, y = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)

    def step():
        for _ in range(1000):
            z = x + y
        return float(z.detach())
    return step


def adamw():
    p = torch.nn.Parameter(torch.randn(10_000_000))
    p.grad = torch.randn(10_000_000)
    optimizer = torch.optim.AdamW([p], lr=1e-3, weight_decay=0.01, fused=True)

    def step():
        optimizer.step()
        return first(p)
    return step


def channels_last(*shape):
    return torch.randn(*shape).to(memory_format=torch.channels_last)


CASES["add_one_with_tape"] = add_one
million = lambda: [torch.randn(1 << 20)]
forward("exp_1m", million, torch.exp)
forward("gelu_1m", million, F.gelu)
forward("silu_1m", million, F.silu)
both("gelu_1m_both", million, F.gelu)
forward("sum_1m", million, torch.sum)
rows = lambda: [torch.randn(1024, 1024)]
forward("softmax_1024x1024", rows, lambda x: F.softmax(x, -1))
both("softmax_1024x1024_both", rows, lambda x: F.softmax(x, -1))
norm = lambda: [torch.randn(4096, 768), torch.randn(768), torch.randn(768)]
forward("layer_norm_4096x768", norm, lambda x, w, b: F.layer_norm(x, (768,), w, b))
both("layer_norm_4096x768_both", norm, lambda x, w, b: F.layer_norm(x, (768,), w, b))
image = lambda: [channels_last(32, 64, 28, 28), torch.randn(64), torch.randn(64)]
forward("group_norm_32x64x28x28", image, lambda x, w, b: F.group_norm(x, 8, w, b))
both("group_norm_32x64x28x28_both", image, lambda x, w, b: F.group_norm(x, 8, w, b))
for n in (128, 512, 1024, 2048):
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        forward(f"matmul_{n}_{name}", lambda n=n, dtype=dtype: [torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)],
                torch.matmul)
both("linear_gelu_1024x768x3072_both",
     lambda: [torch.randn(1024, 768), torch.randn(3072, 768) * 0.04, torch.randn(3072)],
     lambda x, w, b: F.gelu(F.linear(x, w, b)))
both("conv_64x64x3x3_28x28_both",
     lambda: [channels_last(32, 64, 28, 28), channels_last(64, 64, 3, 3) * 0.04],
     lambda x, w: F.conv2d(x, w, padding=1))
both("conv_depthwise_64x3x3_28x28_both",
     lambda: [channels_last(32, 64, 28, 28), channels_last(64, 1, 3, 3) * 0.3],
     lambda x, w: F.conv2d(x, w, padding=1, groups=64))
for shape in ((8, 8, 256, 64), (1, 8, 4096, 64)):
    both("attention_{}x{}x{}x{}_both".format(*shape), lambda shape=shape: [torch.randn(shape) for _ in range(3)],
         F.scaled_dot_product_attention)


def linear_kl():
    """In chunks of rows whose logits are recomputed, as the op it is compared with does; whole below."""
    h, w = torch.randn(512, 512), torch.randn(16384, 512) * 0.04

    def chunk(a, b, t):
        p, q = F.log_softmax(F.linear(a, b), -1), F.log_softmax(F.linear(t, w), -1)
        return F.kl_div(p, q, log_target=True, reduction="none").sum(-1)

    def f(a, b):
        return torch.cat([checkpoint(chunk, x, b, t, use_reentrant=False) for x, t in zip(a.split(256), h.split(256))])
    return f


both("linear_kl_512x16384x512_both", lambda: [torch.randn(512, 512), torch.randn(16384, 512) * 0.04], linear_kl())
CASES["adamw_10m"] = adamw
CASES.update(peer_models.cases())


def memory_of_process(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def serve():
    step = None
    for line in sys.stdin:
        words = line.split()
        try:
            if words[0] == "list":
                print(*CASES)
            elif words[0] == "threads":
                print(torch.get_num_threads())
            elif words[0] == "version":
                print(torch.__version__)
            elif words[0] == "prepare":
                step = None
                step = CASES[words[1]]()
                print("ok", step())
            elif words[0] == "run":
                n = int(words[1])
                begin = time.perf_counter()
                for _ in range(n):
                    result = step()
                print(time.perf_counter() - begin, result)
            elif words[0] == "memory":
                before = memory_of_process("VmRSS")
                open("/proc/self/clear_refs", "w").write("5")
                step = CASES[words[1]]()
                for _ in range(int(words[2])):
                    result = step()
                print(memory_of_process("VmHWM") - before, result)
            else:
                print("error: unknown command", words[0])
        except Exception as e:
            print("error:", repr(e))
        sys.stdout.flush()


serve()
