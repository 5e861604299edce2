"""The application of super-resolution: its photographs, its commands, and all that can be wrong with a file."""

import numpy as np

from keras_gen.datasets import photographs

# ------------------------------------------------------------------------------------------------ photographs


def test_the_photographs_come_back_without_loss(tmp_path, monkeypatch):
    """Sums undo differences modulo 256, of noise in every range, in colour and grey."""
    generator = np.random.default_rng(0)
    colour = generator.integers(256, size=(9, 14, 3), dtype="uint8")
    pictures = {"colour": colour, "grey": np.repeat(colour[..., :1], 3, axis=-1), "chelsea": colour[:3]}
    photographs._save(pictures, tmp_path / "p.npz")
    monkeypatch.setattr(photographs, "FILE", tmp_path / "p.npz")
    train, test = photographs.load_data()
    assert list(train) == ["colour", "grey"] and list(test) == ["chelsea"]
    for name, picture in {**train, **test}.items():
        np.testing.assert_array_equal(picture, pictures[name])


def test_the_photographs_are_pictures_that_the_licence_names():
    """Eleven pictures, none with the blocks of JPEG (a step at every eighth column), each with a line of credit."""
    train, test = photographs.load_data()
    licence = photographs.FILE.with_name("LICENSE-photographs.txt").read_text(encoding="utf-8")
    assert len(train) == 9 and list(test) == ["chelsea", "coffee"] and photographs.FILE.stat().st_size < 2_000_000
    for name, picture in {**train, **test}.items():
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and min(picture.shape) == 3
        assert min(picture.shape[:2]) >= 213 and f"\n{name} " in licence
        steps = np.abs(np.diff(picture.astype(float), axis=1)).mean((0, 2))
        assert max(steps[k::8].mean() for k in range(8)) < 1.1 * steps.mean()
