"""Pictures in fewer and fewer bits: a recurrent net that codes what its last pass left over.

``symgraph demo compression`` runs this, in the manner of Toderici et al. (2016, 2017). A pass turns
what is missing yet into 8 bits for each 8 x 8 pixels, and these bits into something to add to the
picture; the gradient goes straight through the bits. One net serves all rates: whoever wants fewer
bits stops after fewer passes. It learns from patches of some photographs and is tested on others,
beside averages of blocks and JPEG. Data: photographs that come with scikit-image, public domain or
CC0, and one of the Middlebury stereo benchmark (the motorcycle; Scharstein et al. 2014).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import symgraph as sg
import symgraph_nn as nn
from symgraph_nn.demo import Demo, draw_pictures

TRAIN = ("rocket", "coins", "brick", "gravel", "grass", "stereo_motorcycle")
HELD_OUT, TEST = ("chelsea",), ("astronaut", "camera", "coffee")
N_BITS, N_UNITS, PATCH = 8, 48, 32
GAINS = np.linspace(5, 10, 8, dtype="float32")  # of each pass: less and less is missing


class Coder(nn.Module):
    """From pictures [batch, height, width, 1] to bits and back, pass by pass."""

    def __init__(self, *, rng: int) -> None:
        draws = np.random.default_rng(rng)
        self.shrink = nn.Sequential(
            nn.Conv2D(1, 24, 8, sg.relu, stride=4, padding=2, rng=draws),
            nn.Conv2D(24, N_UNITS, 4, sg.relu, stride=2, padding=1, rng=draws),
        )
        self.encoder = nn.ConvGRUCell(N_UNITS, N_UNITS, 3, rng=draws)
        self.to_bits = nn.Conv2D(N_UNITS, N_BITS, 1, sg.tanh, rng=draws)
        self.from_bits = nn.Conv2D(N_BITS, N_UNITS, 1, rng=draws)
        self.decoder = nn.ConvGRUCell(N_UNITS, N_UNITS, 3, rng=draws)
        self.grow = nn.Sequential(
            nn.ConvTranspose2D(N_UNITS, 24, 4, sg.relu, stride=2, padding=1, rng=draws),
            nn.ConvTranspose2D(24, 1, 8, stride=4, padding=2, rng=draws),
        )

    def encode(self, missing: sg.Variable, state: sg.Variable):
        """Bits, -1 or 1, for what is missing; the gradient takes them for the tanh before them."""
        y, state = self.encoder.step(self.shrink(missing), state)
        soft = self.to_bits(y)
        return soft + sg.stop_gradient(sg.where(soft > 0, 1.0, -1.0) - soft), state

    def decode(self, bits: sg.Variable, state: sg.Variable):
        """What the bits add to the picture."""
        y, state = self.decoder.step(self.from_bits(bits), state)
        return self.grow(y), state

    def first_state(self, shape) -> sg.Variable:
        return sg.zeros((shape[0], shape[1] // 8, shape[2] // 8, N_UNITS))

    def __call__(self, picture: sg.Variable, n_passes: int):
        """What is missing after each pass, and the bits of each pass."""

        def one_pass(gain, missing, encoded, decoded):
            bits, encoded = self.encode(missing * gain, encoded)
            addition, decoded = self.decode(bits, decoded)
            return missing - addition / gain, encoded, decoded, bits

        state = self.first_state(picture.shape)
        first = [picture, state, state, None]
        missing, _, _, bits = sg.scan(one_pass, [GAINS[:n_passes]], first, name="passes")
        return missing, bits

    def restored(self, bits: sg.Variable, shape) -> sg.Variable:
        """The pictures after each pass, from the bits alone."""

        def one_pass(gain, bits_t, picture, state):
            addition, state = self.decode(bits_t, state)
            return picture + addition / gain, state

        first = [sg.zeros(shape), self.first_state(shape)]
        return sg.scan(one_pass, [GAINS[: bits.shape[0]], bits], first, name="restore")[0]


def photograph(name: str) -> np.ndarray:
    """A photograph in grey [height, width], from 0 to 255."""
    picture = getattr(photographs, name)()
    picture = picture[0] if isinstance(picture, tuple) else picture  # the left one of a pair
    return np.rint(picture @ [0.299, 0.587, 0.114] if picture.ndim == 3 else picture * 1.0)


def as_input(pictures: list[np.ndarray]) -> np.ndarray:
    return (np.stack(pictures)[..., None] / 127.5 - 1).astype("float32")


def patches(names: tuple[str, ...], count: int, rng: np.random.Generator) -> np.ndarray:
    """Patches [count, height, width, 1] from anywhere in these photographs, half of them halved."""
    pictures = [photograph(name)[::step, ::step] for name in names for step in (1, 2)]
    cuts = []
    for k in range(count):
        picture = pictures[k % len(pictures)]
        y, x = (rng.integers(side - PATCH + 1) for side in picture.shape)
        cuts.append(picture[y : y + PATCH, x : x + PATCH])
    return as_input(cuts)


def by_blocks(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Averages of blocks, in 8 bits for side x side pixels, and the bits per pixel."""
    height, width = (n // side for n in picture.shape)
    means = picture.reshape(height, side, width, side).mean((1, 3))
    return np.rint(means).repeat(side, 0).repeat(side, 1), 8 / side**2


def by_jpeg(picture: np.ndarray, quality: int) -> tuple[np.ndarray, float]:
    """What JPEG makes of it, and the bits per pixel of the whole file."""
    file = io.BytesIO()
    Image.fromarray(picture.astype("uint8")).save(file, "jpeg", quality=quality, optimize=True)
    return np.asarray(Image.open(file), float), 8 * file.tell() / picture.size


def by_net(net: Coder, pictures: list[np.ndarray], n_passes: int, backend: str):
    """For each number of passes, what the net makes of the pictures, and the bits per pixel."""
    shape = (len(pictures), *pictures[0].shape, 1)
    picture = sg.tensor("picture", shape)
    bits = sg.tensor("bits", (n_passes, None, None, None, N_BITS))
    code = sg.compile([picture], net(picture, n_passes)[1], name="code", backend=backend)
    restore = sg.compile([bits], net.restored(bits, shape), name="restore", backend=backend)
    codes = code(as_input(pictures))
    file = np.packbits(codes > 0).tobytes()  # all that there is of the pictures
    read = np.unpackbits(np.frombuffer(file, "uint8")).reshape(codes.shape) * np.float32(2) - 1
    passes = np.clip(np.rint((restore(read)[..., 0] + 1) * 127.5), 0, 255)
    per_pass = 8 * len(file) / n_passes / passes[0].size
    return [(list(done), per_pass * k) for k, done in enumerate(passes, start=1)]


def measured(truth: list[np.ndarray], others: list[np.ndarray], rate: float) -> list[float]:
    """Bits per pixel, PSNR and SSIM, the means over the pictures."""
    pairs = list(zip(truth, others, strict=True))
    return [rate, *(float(np.mean([measure(a, b, data_range=255) for a, b in pairs]))
                    for measure in (peak_signal_noise_ratio, structural_similarity))]  # fmt: skip


def main(demo: Demo) -> None:
    rng, n_passes = np.random.default_rng(demo.seed), 4 if demo.quick else 8
    data = patches(TRAIN, 32 if demo.quick else 9600, rng)
    held_out = patches(HELD_OUT, 16 if demo.quick else 160, rng)
    print(f"compression: {len(data)} patches of {len(TRAIN)} photographs to learn from, "
          f"{len(held_out)} of another to choose the best epoch\n")  # fmt: skip
    net, x = Coder(rng=demo.seed), sg.tensor("x", ("B", PATCH, PATCH, 1))
    missing, _ = net(x, n_passes)
    loss = sg.mean(sg.abs(missing) * (GAINS / GAINS.mean())[:n_passes, None, None, None, None])
    epochs = demo.epochs(5, quick=1)
    rate = nn.schedules.cosine(0.003, epochs * len(data) // 16)
    updates = nn.adam(nn.clip_norm(sg.grad(loss, net.params), 1.0), net.params, rate)
    history = nn.fit(
        net, [x], loss, updates, [data], epochs=epochs, batch_size=16, validation=[held_out],
        patience=epochs, rng=demo.seed, backend=demo.backend,
    )  # fmt: skip
    demo.show(net, history, [x], loss, updates, [data[:16]])

    side = 96 if demo.quick else 384
    truth = [photograph(name)[:side, :side] for name in TEST]
    passes = by_net(net, truth, n_passes, demo.backend)
    curves = {"recurrent net": [measured(truth, *done) for done in passes]}
    for name, method, levels in (("averages of blocks", by_blocks, (8, 6, 4, 3)),
                                 ("JPEG", by_jpeg, (1, 5, 10, 15, 25, 40, 60))):  # fmt: skip
        curves[name] = []
        for level in levels:
            pictures, rates = zip(*(method(p, level) for p in truth), strict=True)
            curves[name].append(measured(truth, pictures, float(np.mean(rates))))
    print("                     bits per pixel    PSNR    SSIM")
    for name, points in curves.items():
        for rate, psnr, ssim in points:
            print(f"{name:20}{rate:15.3f}{psnr:8.2f}{ssim:8.3f}")
    demo.show_plot("curves.png", lambda figure: draw(figure, curves), figsize=(8, 3.4))
    shown = {"the photograph, 8 bits per pixel": truth[0], "net, 1 pass, 1/8 bit":
             passes[0][0][0], "net, 4 passes, 1/2 bit": passes[3][0][0],
             "averages of blocks, 1/2 bit": by_blocks(truth[0], 4)[0]}  # fmt: skip
    demo.show_plot("pictures.png", lambda figure: draw_pictures(figure, shown), figsize=(9, 2.5))
    gain = curves["recurrent net"][3][1] - curves["averages of blocks"][2][1]  # at half a bit
    demo.result("db above averages of blocks", gain)


def draw(figure, curves) -> None:
    """Both measures against the bits per pixel."""
    for i, (name, axes) in enumerate(zip(("PSNR, dB", "SSIM"), figure.subplots(1, 2), strict=True)):
        for label, points in curves.items():
            axes.plot([p[0] for p in points], [p[1 + i] for p in points], ".-", label=label)
        axes.set(xlabel="bits per pixel", ylabel=name, xlim=(0, 1.05))
    axes.legend()
