#!/usr/bin/env python3
"""Golden values of data-set distillation, from the papers' formulas in plain Python (math only, no tensors).

Prints the lines that stand in distill/methods/SLUG.yaml. Networks are a linear map of three pixels to two classes, or
one hidden layer of two tanh units; gradients are seven-point differences.
"""
from math import cos, exp, log, sin, sqrt, tanh

REAL = [[.5, -1., .3], [1.2, .4, -.6], [-.3, .8, .1], [.2, -.5, .9]]
LABEL = [0, 0, 1, 1]
SYN = [[.1, -.4, .7], [-.6, .3, .2]]
W = [[.4, -.3, .2], [-.1, .5, .6]]
B = [.05, -.2]
HIDDEN = ([[.7, -.2, .5], [.3, .9, -.4]], [.1, -.1])
GOAL = ([[.45, -.35, .1], [-.2, .6, .55]], [.1, -.25])
RATE = .4


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def affine(w, b, x):
    return [dot(row, x) + c for row, c in zip(w, b)]


def softmax(z):
    e = [exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def hidden(x):
    return [tanh(v) for v in affine(*HIDDEN, x)]


def onehot(y, k=2):
    return [float(i == y) for i in range(k)]


def ce_gradient(theta, xs, ys):
    """Mean cross-entropy of the linear net: gradient in (W, b)."""
    gw, gb = [[0.] * 3 for _ in range(2)], [0.] * 2
    for x, y in zip(xs, ys):
        p = softmax(affine(*theta, x))
        t = y if isinstance(y, list) else onehot(y)
        for k in range(2):
            gb[k] += (p[k] - t[k]) / len(xs)
            for i in range(3):
                gw[k][i] += (p[k] - t[k]) * x[i] / len(xs)
    return gw, gb


def moved(theta, g, rate):
    return ([[w - rate * d for w, d in zip(r, s)] for r, s in zip(theta[0], g[0])],
            [w - rate * d for w, d in zip(theta[1], g[1])])


def apart(a, b):
    return sum((x - y) ** 2 for r, s in zip(a[0], b[0]) for x, y in zip(r, s)) + sum((x - y) ** 2 for x, y in zip(a[1], b[1]))


def slope(f, v, i, h=2e-3):
    def at(d):
        w = list(v)
        w[i] += d
        return f(w)
    return (45 * (at(h) - at(-h)) - 9 * (at(2 * h) - at(-2 * h)) + at(3 * h) - at(-3 * h)) / (60 * h)


def weighed(f, v):
    return sum((i + 1) * slope(f, v, i) for i in range(len(v)))


FLAT = [v for x in SYN for v in x]


def images(flat):
    return [flat[0:3], flat[3:6]]


def mean_of(rows):
    return [sum(c) / len(rows) for c in zip(*rows)]


def show(name, f, flat=None, **more):
    flat = FLAT if flat is None else flat
    print(f"{name}: {f(flat):.12g}; gradient in syn.x {weighed(f, flat):.12g}", *(f"{k} {v:.12g}" for k, v in more.items()))


# -- feature means, of hidden units
def dm(flat, both=False):
    total = 0
    for c, x in enumerate(images(flat)):
        seen = [hidden(x), hidden(x[::-1])] if both else [hidden(x)]
        real = mean_of([hidden(r) for r, y in zip(REAL, LABEL) if y == c])
        total += sum((a - b) ** 2 for a, b in zip(real, mean_of(seen)))
    return total


# -- gradients
def rows_apart(a, b):
    return sum(1 - dot(u, v) / (sqrt(dot(u, u) * dot(v, v)) + 1e-6) for u, v in zip(a, b))


def dc(flat, rows=True, both=False):
    total = 0
    for c, x in enumerate(images(flat)):
        real = ce_gradient((W, B), [r for r, y in zip(REAL, LABEL) if y == c], [c, c])[0]
        seen = [x, x[::-1]] if both else [x]
        syn = ce_gradient((W, B), seen, [c] * len(seen))[0]
        total += rows_apart(real, syn) if rows else sum((p - q) ** 2 for u, v in zip(real, syn) for p, q in zip(u, v))
    return total


# -- trajectories
def trained(flat, rate, steps, frozen=None, momentum=0, labels=(0, 1)):
    """Gradient descent on the set; `frozen` is the set that the weights of every step come from (TESLA)."""
    theta, shadow = (W, B), (W, B)
    v, stops = None, []
    for _ in range(steps):
        g = ce_gradient(shadow if frozen else theta, images(flat), labels)
        if momentum and v:
            g = ([[momentum * a + b for a, b in zip(r, s)] for r, s in zip(v[0], g[0])],
                 [momentum * a + b for a, b in zip(v[1], g[1])])
        v = g
        if frozen:
            shadow = moved(shadow, ce_gradient(shadow, images(frozen), labels), frozen_rate)
        theta = moved(theta, g, rate)
        stops.append(theta)
    return theta, stops


frozen_rate = RATE


def mtt(flat, rate=RATE, **how):
    return apart(trained(flat, rate, 3, **how)[0], GOAL) / apart((W, B), GOAL)


# -- the task itself after training on the set (bilevel)
def bilevel(flat, rate=RATE):
    theta = trained(flat, rate, 3)[0]
    return sum(-log(softmax(affine(*theta, x))[y]) for x, y in zip(REAL, LABEL)) / 4


# -- kernel ridge regression on hidden units
def inverse2(m):
    (a, b), (c, d) = m
    det = a * d - b * c
    return [[d / det, -b / det], [-c / det, a / det]]


def ridge(flat, share=.1, targets=None, bias=False, fixed=None):
    def feature(x):
        return hidden(x) + ([1.] if bias else [])
    own = [feature(x) for x in images(flat)]
    k = [[dot(a, b) for b in own] for a in own]
    trace = fixed if fixed is not None else share * (k[0][0] + k[1][1]) / 2
    y = targets or [[.5, -.5], [-.5, .5]]
    inv = inverse2([[k[0][0] + trace, k[0][1]], [k[1][0], k[1][1] + trace]])
    dual = [[dot(inv[i], [y[0][j], y[1][j]]) for j in range(len(y[0]))] for i in range(2)]
    return [[sum(dot(feature(x), own[i]) * dual[i][j] for i in range(2)) for j in range(len(y[0]))] for x in REAL]


def ridge_of(flat, **how):
    own = [hidden(x) + ([1.] if how.get("bias") else []) for x in images(FLAT)]
    fixed = how.pop("share", .1) * sum(dot(a, a) for a in own) / 2
    return ridge(flat, fixed=fixed, **how)


def krr(flat, **how):
    pred = ridge_of(flat, **how)
    half = .5 * sum((p - (t - .5)) ** 2 for row, y in zip(pred, LABEL) for p, t in zip(row, onehot(y))) / 8
    return half - sum(min(abs(a - b), .5) for a, b in pred) / 4


VECTORS = [[.3, -.2, .8], [-.5, .4, .1]]
TEACHER = ([[.4, -.3, .2], [-.1, .5, .6], [.7, .2, -.4]], [.05, -.2, .1])


def krr_st(flat, y=None):
    pred = ridge_of(flat, share=1e-2, targets=y or VECTORS, bias=True)
    return .5 * sum((p - t) ** 2 for row, x in zip(pred, REAL) for p, t in zip(row, affine(*TEACHER, x))) / 12


# -- batch norm of the inputs (a network whose first norm sees the pixels)
MEAN, VAR = [.2, -.1], [.6, .4]


show("dm", dm)
show("fyi-dm", lambda f: dm(f, True))
show("dc", dc)
show("fyi", lambda f: dc(f, True, True))
show("idc", lambda f: dc(f, False))
show("mtt", mtt, rate=slope(lambda r: mtt(FLAT, r[0]), [RATE], 0))
show("tesla", lambda f: mtt(f, frozen=FLAT), rate=slope(lambda r: mtt(FLAT, r[0], frozen=FLAT), [RATE], 0))
show("mtt, momentum .5", lambda f: mtt(f, momentum=.5))
stops = lambda f: trained(f, RATE, 4, momentum=.5)[1]
start = apart((W, B), GOAL)
MIDDLE = ([[.42, -.32, .15], [-.15, .55, .58]], [.07, -.22])
show("ast", lambda f: apart(stops(f)[1], MIDDLE) / apart((W, B), MIDDLE) + apart(stops(f)[3], GOAL) / start)
SOFT = [[1.2, -.3], [-.4, .9]]


def datm(flat, logits):
    shares = [softmax(logits[0:2]), softmax(logits[2:4])]
    return apart(trained(flat, RATE, 3, frozen=FLAT, labels=shares)[0], GOAL) / start


def datm_labels(logits):
    global frozen_rate
    shares = [softmax(logits[0:2]), softmax(logits[2:4])]
    fixed = [softmax(z) for z in SOFT]
    theta, shadow = (W, B), (W, B)
    for _ in range(3):
        g = ce_gradient(shadow, SYN, shares)
        shadow = moved(shadow, ce_gradient(shadow, SYN, fixed), RATE)
        theta = moved(theta, g, RATE)
    return apart(theta, GOAL) / start


def datm_images(flat):
    fixed = [softmax(z) for z in SOFT]
    theta, shadow = (W, B), (W, B)
    for _ in range(3):
        g = ce_gradient(shadow, images(flat), fixed)
        shadow = moved(shadow, ce_gradient(shadow, SYN, fixed), RATE)
        theta = moved(theta, g, RATE)
    return apart(theta, GOAL) / start


show("datm", datm_images, labels=weighed(datm_labels, [v for z in SOFT for v in z]))
show("bilevel", bilevel, rate=slope(lambda r: bilevel(FLAT, r[0]), [RATE], 0))
show("krr", krr)
show("krr-st", krr_st, labels=weighed(lambda v: krr_st(FLAT, [v[0:3], v[3:6]]), [v for y in VECTORS for v in y]))

# -- recovery from batch-norm statistics: a convolution whose middle row is K, then a norm with running (0, 1)
KERNEL = [.6, -.2, .3]
TEACHER_LOGITS = [[1.2, .1, -.4, .6], [.9, -.3, .4, -1.1], [-1.0, 1.7, .2, .5]]
STUDENT_LOGITS = [[.3, -1.0, .5, 2.0], [1.5, .2, -.7, .1], [-.4, .9, .8, -1.2]]
SECOND_LOGITS = [[.2, .5, -.1, 1.6], [-.9, .3, 1.4, .1], [.5, -1.7, .8, -.5]]


def bn(flat, first=10):
    out = []
    for x in images(flat):
        padded = [0] + x + [0]
        out += [dot(KERNEL, padded[i:i + 3]) for i in range(3)]
    m = sum(out) / 6
    v = sum((o - m) ** 2 for o in out) / 6
    return first * (abs(m) + abs(v - 1))


def kl(t, s, T):
    p, q = softmax([a / T for a in t]), softmax([a / T for a in s])
    return sum(a * log(a / b) for a, b in zip(p, q))


ce = sum(-log(softmax(z)[y]) for z, y in zip([[.3, -1.], [1.5, .2]], [0, 1])) / 2
show("sre2l bn", bn, ce=ce, total=ce + .01 * bn(FLAT), pull=.01 * weighed(bn, FLAT))
print("sre2l kd", sum(kl(t, s, 20) for t, s in zip(TEACHER_LOGITS, STUDENT_LOGITS)) / 3)
print("infer kd", sum(kl(t, s, 30) for t, s in zip(TEACHER_LOGITS, STUDENT_LOGITS)) / 3)
mixed = [[.55 * a + .45 * b for a, b in zip(t, u)] for t, u in zip(TEACHER_LOGITS, SECOND_LOGITS)]
print("cv-dd kd", sum(kl(t, s, 20) for t, s in zip(mixed, STUDENT_LOGITS)) / 3)
ce0 = sum(-log(softmax(z)[0]) for z in [[.3, -1.], [1.5, .2]]) / 2
print("ncfm", sqrt(.5e-12), ce0, 300 * sqrt(.5e-12) + ce0)


def infer(shift):
    return bn([v + shift[i % 3] for i, v in enumerate(FLAT)])


print("infer bn", infer([.1, -.2, .3]), "shift", weighed(infer, [.1, -.2, .3]), "total", ce + infer([.1, -.2, .3]))
print("cv-dd kd at T 1", sum(kl(t, s, 1) for t, s in zip(mixed, STUDENT_LOGITS)) / 3)


# -- experts in flat places: w . (g_p - alpha g_across), and its gradient, the direction itself
def flat_direction(rho, alpha):
    flat_of = lambda t: [v for r in t[0] for v in r] + list(t[1])
    w = flat_of((W, B))
    g = flat_of(ce_gradient((W, B), REAL, LABEL))
    size = sqrt(sum((a * b) ** 2 for a, b in zip(w, g)))
    up = [a + rho * a * a * b / size for a, b in zip(w, g)]
    gp = flat_of(ce_gradient(([up[0:3], up[3:6]], up[6:8]), REAL, LABEL))
    share = dot(g, gp) / dot(gp, gp)
    d = [p - alpha * (a - share * p) for a, p in zip(g, gp)]
    return dot(w, d), sum((i + 1) * v for i, v in enumerate(d[:6])), sum((i + 1) * v for i, v in enumerate(d[6:]))


print("ftd at rho .5", flat_direction(.5, .4))
fit = sum(-log(softmax(z)[y]) for z, y in zip([[.3, -1.], [1.5, .2], [-.4, .9], [.8, -1.2]], LABEL)) / 4
print("ast experts: penalty .39, ce", fit, "total", fit + 2 * .39)


# -- one number for each image and view
def gaps(student, teacher, labels):
    nll = lambda z, y: -log(softmax(z)[y])
    return sum((nll(s, y) - nll(t, y)) ** 2 for s, t, y in zip(student, teacher, labels)) / len(labels)


own = gaps(STUDENT_LOGITS, TEACHER_LOGITS, [0, 2, 1])
changed = gaps(SECOND_LOGITS, [TEACHER_LOGITS[1], TEACHER_LOGITS[2], TEACHER_LOGITS[0]], [0, 2, 1])
task = sum(-log(softmax(z)[y]) for z, y in zip(STUDENT_LOGITS, [0, 2, 1])) / 3
print("nrr-dd", task, own, changed, task + .5 * (own + changed))


# -- a linear network beside a ridge regression of what it leaves over (its body is empty)
def rcig(flat, lam=.05 * 2):
    xs = images(flat)
    k = [[dot(a, b) for b in xs] for a in xs]
    left = [[t - .5 - z for t, z in zip(onehot(y), affine(W, B, x))] for y, x in zip([0, 1], xs)]
    inv = inverse2([[k[0][0] + lam, k[0][1]], [k[1][0], k[1][1] + lam]])
    dual = [[dot(inv[i], [left[0][j], left[1][j]]) for j in range(2)] for i in range(2)]
    total = 0
    for x, y in zip(REAL, LABEL):
        z = [a + sum(dot(x, xs[i]) * dual[i][j] for i in range(2)) for j, a in enumerate(affine(W, B, x))]
        total += (-log(softmax(z)[y]) - min(abs(z[0] - z[1]), .25)) / 4
    return total


show("rcig", rcig)
