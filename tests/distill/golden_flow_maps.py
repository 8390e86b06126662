#!/usr/bin/env python3
"""Golden values of the checks of flow-map methods, from their papers' formulas in plain Python (no tensors).

Teachers and students are Gaussians (or mixtures) in closed form. Derivatives in time and in parameters are complex
steps: f(x + ih) / h for h = 1e-30 is exact to rounding. Prints what stands in distill/methods/SLUG.yaml.
"""
import cmath
from math import log, pi

H = 1e-30
X = [[0.5, -1.0], [1.2, 0.3]]
NOISE = [[-0.4, 1.6], [0.3, -0.1]]
TEACHER = ((0.7, -0.3), 1.14)
STUDENT = ((-0.2, 0.1), 0.8)
AVERAGE = ((0.1, -0.2), 0.9)  # of its weights
MODES = (((-1.0, 0.4), (0.9, -0.2)), 0.6)  # of a mixture; its condition c is the mode


def ve(t):
    return 1.0, t


def flow(t):
    return 1 - t, t


def trig(t):
    return cmath.cos(t), 0.5 * cmath.sin(t)


def cosine(t):
    scale = cmath.cos(0.008 / 1.008 * pi / 2)
    alpha = cmath.cos((t + 0.008) / 1.008 * pi / 2) / scale
    return alpha, (1 - alpha * alpha) ** 0.5


def vp_table():
    table, total = [0.0], 0.0
    for j in range(1000):
        total += 0.5 * log(1 - (1e-4 + (0.02 - 1e-4) * j / 999))
        table.append(total)
    return table


VP = vp_table()


def vp(t):
    i = min(int(t.real + 1), 999)
    alpha = cmath.exp(VP[i] + (t - (i - 1)) * (VP[i + 1] - VP[i]))
    return alpha, (1 - alpha * alpha) ** 0.5


def rate(schedule, t):
    a, s = schedule(t + 1j * H)
    return a.imag / H if isinstance(a, complex) else 0.0, s.imag / H


class Gaussian:
    """Means m_j, deviations k exp(g_j); answers the clean sample of the jump from t to s."""

    def __init__(self, schedule, law, shift=(0.0, 0.0), growth=(0.0, 0.0)):
        self.at = schedule
        self.m = [a + b for a, b in zip(law[0], shift)]
        self.k = [law[1] * cmath.exp(g) for g in growth]

    def clean(self, x, t, s, c=None):
        (a, n), (b, o) = self.at(t), self.at(s)
        out = []
        for z, m, k in zip(x, self.m, self.k):
            here, there = ((a * k) ** 2 + n * n) ** 0.5, ((b * k) ** 2 + o * o) ** 0.5
            # The line from y_t = z / a through y_s = m + (R_s / R_t) (y_t - m) meets noise 0 there.
            if t == s:
                out.append(m + a * k * k / here**2 * (z - a * m))
                continue
            y, tau, end = z / a, n / a, o / b
            target = m + (there / b) / (here / a) * (y - m)
            out.append((tau * target - end * y) / (tau - end))
        return out

    def mean(self, x, t, c=None):
        return self.clean(x, t, t, c)


class Mixture:
    def __init__(self, schedule, law):
        self.at, self.modes, self.k = schedule, law[0], law[1]

    def mean(self, x, t, c=None):
        a, n = self.at(t)
        spread = (a * self.k) ** 2 + n * n
        modes = self.modes if c is None else [self.modes[c]]
        weights = [cmath.exp(-sum((z - a * m) ** 2 for z, m in zip(x, mode)) / (2 * spread)) for mode in modes]
        each = [[m + a * self.k**2 / spread * (z - a * m) for z, m in zip(x, mode)] for mode in modes]
        return [sum(w * e[j] for w, e in zip(weights, each)) / sum(weights) for j in range(len(x))]


def add(schedule, x, noise, t):
    a, n = schedule(t)
    return [a * p + n * q for p, q in zip(x, noise)]


def ddim(schedule, x, clean, t, s):
    (a, n), (b, o) = schedule(t), schedule(s)
    return [b * p + o * (z - a * p) / n for z, p in zip(x, clean)]


def velocity(schedule, x, clean, t):
    a, n = schedule(t)
    da, dn = rate(schedule, t)
    return [da * p + dn * (z - a * p) / n for z, p in zip(x, clean)]


def guided(net, x, t, c, kappa):
    null, cond = net.mean(x, t), net.mean(x, t, c)
    return [p + kappa * (q - p) for p, q in zip(null, cond)]


def heun(schedule, net, x, t, s):
    first = velocity(schedule, x, net.mean(x, t), t)
    reached = [z + (s - t) * v for z, v in zip(x, first)]
    second = velocity(schedule, reached, net.mean(reached, s), s)
    return [z + (s - t) * (v + w) / 2 for z, v, w in zip(x, first, second)]


def cm_head(x, clean, t, sd=0.5, low=0.002):
    skip, c_skip = sd**2 / ((t - low) ** 2 + sd**2), sd**2 / (t * t + sd**2)
    out, c_out = (t - low) * sd / (t * t + sd**2) ** 0.5, t * sd / (t * t + sd**2) ** 0.5
    return [skip * z + out * (p - c_skip * z) / c_out for z, p in zip(x, clean)]


def lcm_head(x, clean, t, sd=0.5, scale=10):
    tau = scale * t
    return [sd**2 / (tau**2 + sd**2) * z + tau / (tau**2 + sd**2) ** 0.5 * p for z, p in zip(x, clean)]


def square(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b))


def show(name, loss, weights=None, more=0.0):
    """loss(student) -> {term: mean over samples}, with `student` a function of its parameters for what is live and
    without arguments for what is constant."""
    def values(parameters):
        return loss(lambda schedule, law=STUDENT: Gaussian(schedule, law, parameters[:2], parameters[2:]))

    zero = [0.0] * 4
    terms = values(zero)
    weights = weights or {k: 1 for k in terms}
    total = sum(weights[k] * v for k, v in terms.items())
    pull = more
    for i in range(4):
        moved = [1j * H if j == i else 0.0 for j in range(4)]
        pull += (i + 1) * sum(weights[k] * v for k, v in values(moved).items()).imag / H
    print(name)
    print("  terms: {" + ", ".join(f"{k}: {complex(v).real:.12g}" for k, v in terms.items()) + "}")
    print(f"  total: {complex(total).real:.12g}\n  pull: {pull:.12g}")


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def pairs():
    return list(zip(X, NOISE))


def cd():
    T, U = [1.5, 20.0], [1.0, 12.0]
    teacher, still = Gaussian(ve, TEACHER), Gaussian(ve, AVERAGE)

    def loss(student):
        out = []
        for (x, e), t, u in zip(pairs(), T, U):
            z = add(ve, x, e, t)
            zu = heun(ve, teacher, z, t, u)
            target = cm_head(zu, still.clean(zu, u, 0.002), u)
            out.append(square(cm_head(z, student(ve).clean(z, t, 0.002), t), target) / 2)
        return {"cd": mean(out)}

    show("cd", loss)


def ct():
    T, U, c = [1.5, 20.0], [1.0, 12.0], 0.0008
    still = Gaussian(ve, STUDENT)

    def loss(student):
        out = []
        for (x, e), t, u in zip(pairs(), T, U):
            z, zu = add(ve, x, e, t), add(ve, x, e, u)
            target = cm_head(zu, still.clean(zu, u, 0.002), u)
            pred = cm_head(z, student(ve).clean(z, t, 0.002), t)
            out.append(((square(pred, target) + c * c) ** 0.5 - c) / (t - u))
        return {"ct": mean(out)}

    show("ct", loss)


def lcm(kappa=8.5, c=0.001):
    T, U, labels = [199, 599], [179, 579], [0, 1]
    teacher, still = Mixture(vp, MODES), Gaussian(vp, AVERAGE)

    def loss(student):
        out = []
        for (x, e), t, u, y in zip(pairs(), T, U, labels):
            z = add(vp, x, e, t)
            zu = ddim(vp, z, guided(teacher, z, t, y, kappa), t, u)
            target = lcm_head(zu, still.clean(zu, u, 0), u)
            pred = lcm_head(z, student(vp).clean(z, t, 0), t)
            out.append(sum(((p - q) ** 2 + c * c) ** 0.5 - c for p, q in zip(pred, target)) / 2)
        return {"lcm": mean(out)}

    show("lcm", loss)


def solver_kd():
    teacher = Gaussian(vp, TEACHER)

    def loss(student):
        out = []
        for e in NOISE:
            x, times = e, [999 - 1000 * i / 50 for i in range(51)]
            for t, s in zip(times, times[1:]):
                x = ddim(vp, x, teacher.mean(x, t), t, s)
            out.append(square(student(vp).clean(e, 999, -1), x) / 2)
        return {"fit": mean(out)}

    show("solver-kd", loss)


def guidance_kd(kappa=3):
    T, labels = [200, 600], [0, 1]
    teacher = Mixture(vp, MODES)

    def loss(student):
        out = []
        for (x, e), t, y in zip(pairs(), T, labels):
            z = add(vp, x, e, t)
            a, n = vp(t)
            weight = max((a / n).real ** 2, 1)
            out.append(weight * square(student(vp).mean(z, t), guided(teacher, z, t, y, kappa)))
        return {"fit": mean(out)}

    show("guidance-kd", loss)


def progressive():
    T, S = [0.75, 0.5], [0.5, 0.25]
    teacher = Gaussian(cosine, TEACHER)

    def loss(student):
        out = []
        for (x, e), t, s in zip(pairs(), T, S):
            z, half = add(cosine, x, e, t), (t + s) / 2
            mid = ddim(cosine, z, teacher.mean(z, t), t, half)
            end = ddim(cosine, mid, teacher.mean(mid, half), half, s)
            (a, n), (b, o) = cosine(t), cosine(s)
            target = [(p - o / n * q) / (b - o / n * a) for p, q in zip(end, z)]
            weight = max((a / n).real ** 2, 1)
            out.append(weight * square(student(cosine).clean(z, t, s), target) / 2)
        return {"fit": mean(out)}

    show("progressive", loss)


def reflow():
    T = [0.3, 0.8]
    teacher, steps = Gaussian(flow, TEACHER), 100

    def loss(student):
        out = []
        for e, t in zip(NOISE, T):
            end = e
            for i in range(steps):
                here = 1 - i / steps
                net = teacher.mean(end, here) if here < 1 else teacher.m
                v = [(z - p) / here for z, p in zip(end, net)]
                end = [z - w / steps for z, w in zip(end, v)]
            z = add(flow, end, e, t)
            net = student(flow).mean(z, t)
            out.append(sum(((q - p) / t - (b - a)) ** 2 for q, p, a, b in zip(z, net, end, e)) / 2)
        return {"flow": mean(out)}

    show("reflow", loss)


def shortcut():
    T, U, M, S = [0.5, 0.75], [0.4921875, 0.7421875], [0.375, 0.5], [0.25, 0.25]
    still = Gaussian(flow, AVERAGE)

    def slope(net, z, t, s):
        return [(q - p) / t for q, p in zip(z, net.clean(z, t, s))]

    def loss(student):
        base, self_consistent = [], []
        for (x, e), t, u, m, s in zip(pairs(), T, U, M, S):
            z = add(flow, x, e, t)
            base.append(sum((p - (b - a)) ** 2 for p, a, b in zip(slope(student(flow), z, t, u), x, e)) / 2)
            first = slope(still, z, t, m)
            half = [q - (t - m) * v for q, v in zip(z, first)]
            second = slope(still, half, m, s)
            target = [((t - m) * a + (m - s) * b) / (t - s) for a, b in zip(first, second)]
            self_consistent.append(square(slope(student(flow), z, t, s), target) / 2)
        return {"base": mean(base), "bootstrap": mean(self_consistent)}

    show("shortcut", loss, {"base": 0.875, "bootstrap": 0.125})


def meanflow(p=1, c=0.01):
    T, S = [0.5, 0.8], [0.2, 0.8]
    still = Gaussian(flow, STUDENT)

    def slope(net, z, t, s):
        return [(q - x0) / t for q, x0 in zip(z, net.clean(z, t, s))]

    def loss(student):
        out = []
        for (x, e), t, s in zip(pairs(), T, S):
            z, v = add(flow, x, e, t), [b - a for a, b in zip(x, e)]
            if t == s:
                target = v
            else:
                moved = slope(still, [q + 1j * H * w for q, w in zip(z, v)], t + 1j * H, s)
                target = [w - (t - s) * d.imag / H for w, d in zip(v, moved)]
            error = square(slope(student(flow), z, t, s), target)
            out.append(error / (complex(error).real + c) ** p)
        return {"mean": mean(out)}

    show("meanflow", loss)


def scm(warmup=0.5, c=0.1, sd=0.5):
    T = [0.4, 1.2]
    teacher, still = Gaussian(trig, TEACHER), Gaussian(trig, STUDENT)

    def raw(net, z, t):
        return [(cmath.cos(t) * q - p) / (cmath.sin(t) * sd) for q, p in zip(z, net.clean(z, t, 0.0))]

    def loss(student):
        out = []
        for (x, e), t in zip(pairs(), T):
            z = add(trig, x, e, t)
            cos, sin = cmath.cos(t), cmath.sin(t)
            drift = [(cos * q - p) / sin for q, p in zip(z, teacher.mean(z, t))]
            f = raw(still, z, t)
            moved = raw(still, [q + 1j * H * v for q, v in zip(z, drift)], t + 1j * H)
            g = [
                -(cos**2) * (sd * a - v) - warmup * cos * sin * (q + sd * d.imag / H)
                for a, v, q, d in zip(f, drift, z, moved)
            ]
            length = sum(a.real**2 for a in g) ** 0.5
            target = [a + b / (length + c) for a, b in zip(f, g)]
            out.append(square(raw(student(trig), z, t), target) / (sd * sin / cos).real / 2)
        return {"cd": mean(out)}, out

    # e^-l L + l at l = w t + b = 0 has the slopes t (1 - L) and 1 - L: parameters 5 and 6.
    each = loss(lambda s: Gaussian(s, STUDENT))[1]
    more = mean((5 * t + 6) * (1 - v.real) for t, v in zip(T, each))
    show("scm", lambda student: loss(student)[0], more=more)


def ctm():
    T, U, S = [1.5, 20.0], [1.0, 12.0], [0.5, 12.0]
    teacher, still, end = Gaussian(ve, TEACHER), Gaussian(ve, AVERAGE), 0.002

    def onto(net, x, t, s):
        return x if t == s else [s / t * q + (1 - s / t) * p for q, p in zip(x, net.clean(x, t, s))]

    def loss(student):
        maps, dsm = [], []
        for (x, e), t, u, s in zip(pairs(), T, U, S):
            z = add(ve, x, e, t)
            target = onto(still, onto(still, heun(ve, teacher, z, t, u), u, s), s, end)
            maps.append(square(onto(still, onto(student(ve), z, t, s), s, end), target) / 2)
            dsm.append((t * t + 0.25) / (t * 0.5) ** 2 * square(student(ve).mean(z, t), x) / 2)
        return {"ctm": mean(maps), "dsm": mean(dsm)}

    show("ctm", loss)


def huber(a, b, c=0.001):
    return sum(((p - q) ** 2 + c * c) ** 0.5 - c for p, q in zip(a, b))


def jumps(name, T, U, S, kappa, distance, shares=None):
    """Two-point consistency of DDIM jumps under one guided step of the teacher."""
    labels, teacher, still = [0, 1], Mixture(vp, MODES), Gaussian(vp, STUDENT)

    def loss(student):
        out = []
        for (x, e), t, u, s, y in zip(pairs(), T, U, S, labels):
            z = add(vp, x, e, t)
            zu = ddim(vp, z, guided(teacher, z, t, y, kappa), t, u)
            target = zu if u == s else ddim(vp, zu, still.clean(zu, u, s), u, s)
            out.append(distance(ddim(vp, z, student(vp).clean(z, t, s), t, s), target) / 2)
        return {k: mean(out) for k in shares or ["cd"]}

    show(name, loss, shares)


def scott():
    T, labels, eta = [199, 599], [0, 1], 0.2
    fresh = [[[0.2, -0.7], [1.1, 0.4]], [[-0.9, 0.3], [0.5, -1.4]], [[0.6, 0.8], [-0.3, 0.1]]]
    teacher, still = Mixture(vp, MODES), Gaussian(vp, AVERAGE)

    def loss(student):
        out = []
        for i, ((x, e), t, y) in enumerate(zip(pairs(), T, labels)):
            z = state = add(vp, x, e, t)
            for k in range(3):
                now, then = t - 8 * k, t - 8 * (k + 1)
                clean = guided(teacher, state, now, y, 8.5)
                (a, n), (b, o) = vp(now), vp(then)
                kept = eta * o / n * (1 - (a / b) ** 2) ** 0.5
                eps = [(q - a * p) / n for q, p in zip(state, clean)]
                state = [
                    b * p + (o * o - kept**2) ** 0.5 * w + kept * f for p, w, f in zip(clean, eps, fresh[k][i])
                ]
            target = lcm_head(state, still.clean(state, t - 24, 0), t - 24)
            out.append(square(lcm_head(z, student(vp).clean(z, t, 0), t), target) / 2)
        return {"cd": mean(out)}

    show("scott", loss)


def euler_flow(net, x, steps):
    for i in range(steps):
        t = 1 - i / steps
        clean = net.mean(x, t) if t < 1 else net.m
        x = [z - (z - p) / t / steps for z, p in zip(x, clean)]
    return x


def slimflow(b=0.75):
    T, other, teacher = [0.3, 0.8], [[0.2, -0.7], [1.1, 0.4]], Gaussian(flow, TEACHER)
    small, still = Gaussian(flow, AVERAGE), Gaussian(flow, STUDENT)

    def anneal(student):
        out = []
        for e, f, t in zip(NOISE, other, T):
            end = euler_flow(teacher, e, 100)
            start = [(1 - b * b) ** 0.5 * p + b * q for p, q in zip(e, f)]
            z = add(flow, end, start, t)
            net = student(flow).mean(z, t)
            out.append(sum(((q - p) / t - (w - a)) ** 2 for q, p, a, w in zip(z, net, end, start)) / 2)
        return {"flow": mean(out)}

    def one_step(student):
        one, guide = [], []
        for e, t in zip(NOISE, T):
            sample = [m + k * z for m, k, z in zip(student(flow).m, student(flow).k, e)]
            one.append(square(sample, euler_flow(teacher, e, 100)) / 2)
            mine = [m + k * z for m, k, z in zip(still.m, still.k, e)]
            mid = add(flow, mine, e, t)
            guide.append(square(sample, small.mean(mid, t)) / 2)
        return {"one": mean(one), "guide": mean(guide)}

    show("slimflow", anneal)
    show("slimflow-one", one_step)


def clip(v, limit):
    return max(-limit, min(limit, complex(v).real))


def barron(a, b, c=0.001):
    error = square(a, b) / len(a)
    return error / (complex(error).real / c**2 + 1) ** 0.5 / c


def slope(net, z, t, s):
    return [(q - p) / t for q, p in zip(z, net.clean(z, t, s))]


def twinflow():
    T, S, U, M, fake = [0.9, 0.6], [0.3, 0.55], [0.89, 0.59], [0.595, 0.57], ((0.4, -0.5), 0.8)
    still, average, other = Gaussian(flow, STUDENT), Gaussian(flow, AVERAGE), None

    def loss(student, fake_student):
        maps, fakes, goals = [], [], []
        for (x, e), t, s, u, m in zip(pairs(), T, S, U, M):
            z, v = add(flow, x, e, t), [b - a for a, b in zip(x, e)]
            here = [q - (t - u) * w for q, w in zip(z, v)]
            half = [q - (u - m) * w for q, w in zip(here, slope(average, here, u, m))]
            target = [q - (m - s) * w for q, w in zip(half, slope(average, half, m, s))]
            f = slope(still, z, t, s)
            landed = [q - (t - s) * w for q, w in zip(z, f)]
            pulled = [w - clip((a - b) / (t - u), 1) for w, a, b in zip(f, target, landed)]
            weight = cmath.tan((1 - (t - s)) * pi / 2.5) + 1
            maps.append(weight * barron(slope(student(flow), z, t, s), pulled))
            fakes.append(barron(slope(fake_student, z, t, t), v))
            a, b = slope(Gaussian(flow, fake), z, t, t), slope(still, z, t, t)
            goals.append(barron(x, [p + clip(q - r, 1) for p, q, r in zip(x, a, b)]))
        each = mean(maps)
        return {"end": each, "near": each, "any": each, "fake": mean(fakes), "rectify": mean(goals)}

    # Parameters of a mixture: shifts of both components, then growths.
    weights = {"end": 0.25, "near": 0.25, "any": 0.25, "fake": 0.25, "rectify": 0.5}

    def values(p):
        return loss(lambda s: Gaussian(s, STUDENT, p[:2], p[4:6]), Gaussian(flow, fake, p[2:4], p[6:]))

    terms = values([0.0] * 8)
    pull = 0.0
    for i in range(8):
        moved = values([1j * H if j == i else 0.0 for j in range(8)])
        pull += (i + 1) * sum(weights[k] * complex(v) for k, v in moved.items()).imag / H
    print("twinflow")
    print("  terms: {" + ", ".join(f"{k}: {complex(v).real:.12g}" for k, v in terms.items()) + "}")
    print(f"  total: {complex(sum(weights[k] * v for k, v in terms.items())).real:.12g}\n  pull: {pull:.12g}")


def self_e():
    T, S, fresh = [0.9, 0.6], [0.3, 0.6], [[0.2, -0.7], [1.1, 0.4]]
    still, average = Gaussian(flow, STUDENT), Gaussian(flow, AVERAGE)

    def loss(student):
        out = []
        for (x, e), n, t, s in zip(pairs(), fresh, T, S):
            z = add(flow, x, e, t)
            jump = still.clean(z, t, s)
            zs = add(flow, jump, n, s)
            judged = [p - (a - b) for p, a, b in zip(jump, still.mean(zs, s), average.mean(zs, s))]
            pull = t / (1 - t) - s / (1 - s)
            y = [p + pull * q for p, q in zip(x, judged)]
            scale = (sum(p * p for p in x) / sum(q * q for q in y)) ** 0.5
            out.append(square(student(flow).clean(z, t, s), [scale * q for q in y]) / 2)
        return {"fit": mean(out)}

    show("self-e", loss)


def sure_score(level=0.5, d=0.001, c=0.01, rise=0.5):
    T, probe = [0.7, 3.0], [[0.2, -0.7], [1.1, 0.4]]

    def loss(student):
        error, divergence, dsm = [], [], []
        net = student(ve)
        for (y, e), n, t in zip(pairs(), probe, T):
            h, moved = net.mean(y, level), net.mean([p + d * q for p, q in zip(y, n)], level)
            error.append(square(h, y) / 2)
            divergence.append(level**2 * sum(q * (a - b) for q, a, b in zip(n, moved, h)) / 2 / d)
            z = add(ve, h, e, t)
            score = [(p - q) / t**2 for p, q in zip(net.mean(z, t), z)]
            dsm.append(t * t * sum((p + q / t) ** 2 for p, q in zip(score, e)))
        return {"error": mean(error), "divergence": mean(divergence), "dsm": mean(dsm)}

    show("sure-score", loss, {"error": 1, "divergence": 2, "dsm": 0.5 * c * rise})


def flow_maps():
    T, S, still = [0.9, 0.6], [0.3, 0.5], Gaussian(flow, STUDENT)

    def onto(net, z, t, s):
        return [q - (t - s) * w for q, w in zip(z, slope(net, z, t, s))]

    def rates(p, z, t, s):
        """d/ds of the jump, and its derivatives in the four parameters by differences of order 8."""
        def at(q):
            net = Gaussian(flow, STUDENT, q[:2], q[2:])
            return [v.imag / H for v in onto(net, z, t, s + 1j * H)]

        weights, h = [4 / 5, -1 / 5, 4 / 105, -1 / 280], 0.01
        moved = lambda i, d: at([d if j == i else 0.0 for j in range(4)])
        columns = []
        for i in range(4):
            sides = [(moved(i, k * h), moved(i, -k * h)) for k in range(1, 5)]
            columns.append([sum(w * (a[j] - b[j]) for w, (a, b) in zip(weights, sides)) / h for j in range(2)])
        return at(p), columns

    base, maps, pull = [], [], 0.0
    for (x, e), t, s in zip(pairs(), T, S):
        z, v = add(flow, x, e, t), [b - a for a, b in zip(x, e)]
        base.append(complex(square(slope(still, z, t, t), v)).real)
        landed = onto(still, z, t, s)
        target = slope(still, landed, s, s)
        rate, columns = rates([0.0] * 4, z, t, s)
        maps.append(complex(square(rate, target)).real)
        for i in range(4):
            shift = [1j * H if j == i else 0.0 for j in range(4)]
            net = Gaussian(flow, STUDENT, shift[:2], shift[2:])
            pull += (i + 1) * 0.375 * square(slope(net, z, t, t), v).imag / H
            pull += (i + 1) * 0.125 * sum(2 * (a - b) * c for a, b, c in zip(rate, target, columns[i])).real
        pull += 0.375 * (11 * t + 7) * (1 - base[-1]) + 0.125 * (5 * t + 6 * s + 7) * (1 - maps[-1])
    print("flow-maps")
    print(f"  terms: {{base: {mean(base):.12g}, map: {mean(maps):.12g}}}")
    print(f"  total: {0.75 * mean(base) + 0.25 * mean(maps):.12g}\n  pull: {pull:.12g}")


def snapflow():
    T, still = [0.3, 0.8], Gaussian(flow, STUDENT)

    def snap(student):
        out = []
        for e in NOISE:
            first = [q - m for q, m in zip(e, still.m)]
            half = [q - v / 2 for q, v in zip(e, first)]
            target = [(a + b) / 2 for a, b in zip(first, slope(still, half, 0.5, 0.5))]
            net = student(flow)
            jump = [q - (m + k * q) for q, m, k in zip(e, net.m, net.k)]
            out.append(square(jump, target) / 2)
        return {"snap": mean(out)}

    def base(student):
        out = []
        for (x, e), t in zip(pairs(), T):
            z = add(flow, x, e, t)
            out.append(square(slope(student(flow), z, t, t), [b - a for a, b in zip(x, e)]) / 2)
        return {"flow": mean(out)}

    show("snapflow", snap, {"snap": 0.05})
    show("snapflow-flow", base, {"flow": 0.5})


def instaflow(kappa=2):
    T, labels, teacher = [0.3, 0.8], [0, 1], Mixture(flow, MODES)

    def reflowed(student):
        out = []
        for e, t, y in zip(NOISE, T, labels):
            end = e
            for i in range(25):
                here = 1 - i / 25
                end = [z - (z - p) / here / 25 for z, p in zip(end, guided(teacher, end, here, y, kappa))]
            z = add(flow, end, e, t)
            net = student(flow).mean(z, t)
            out.append(sum(((q - p) / t - (b - a)) ** 2 for q, p, a, b in zip(z, net, end, e)) / 2)
        return {"reflow": mean(out)}

    def one_step(student):
        net, out = student(flow), []
        for e in NOISE:
            sample = [m + k * z for m, k, z in zip(net.m, net.k, e)]
            out.append(square(sample, euler_flow(Gaussian(flow, TEACHER), e, 25)) / 2)
        return {"one": mean(out)}

    show("instaflow", reflowed)
    show("instaflow-one", one_step)


def main():
    snapflow()
    instaflow()
    flow_maps()
    twinflow()
    self_e()
    sure_score()
    ctm()
    jumps("pcm", [199, 599], [179, 579], [0, 499], 5.5, huber)
    jumps("tdd", [199, 599], [195, 595], [120, 480], 4.5, huber, {"cd": 0.8, "free": 0.2})
    jumps("hyper-sd", [199, 599], [179, 579], [119, 539], 8.5, square)
    scott()
    slimflow()
    for method in (cd, ct, lcm, solver_kd, guidance_kd, progressive, reflow, shortcut, meanflow, scm):
        method()


if __name__ == "__main__":
    main()
