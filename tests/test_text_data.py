"""Texts and molecules: vocabularies that give texts back, tokens of SMILES, fixed splits, files that are other ones."""

import gzip
import re

import numpy as np
import pytest

from keras_gen.datasets import Vocabulary, molecules, shakespeare, smiles_tokens

TEXT = "To be, or not to be: that is the question.\nWhether 'tis nobler in the mind to suffer"


@pytest.fixture(autouse=True)
def no_folder_in_environment(request, monkeypatch):
    """Only tests of real data see KERAS_GEN_DATA."""
    if "real_data" not in request.keywords:
        monkeypatch.delenv("KERAS_GEN_DATA", raising=False)


# ------------------------------------------------------------------------------------------------ Vocabulary


def test_a_text_comes_back():
    """decode(encode(text)) is the text; the numbers are those of sorted characters after the special tokens."""
    vocabulary = Vocabulary.of(TEXT)
    k = vocabulary.encode(TEXT)
    assert k.dtype == np.int32 and vocabulary.decode(k) == TEXT
    assert vocabulary.tokens == ("<end>", *sorted(set(TEXT))) and len(vocabulary) == 1 + len(set(TEXT))
    assert [vocabulary[token] for token in vocabulary.tokens] == list(range(len(vocabulary)))
    assert vocabulary.encode("").shape == (0,) and vocabulary.decode([]) == ""
    assert "<end>" in vocabulary and "z" not in vocabulary


def test_unknown_characters_are_named_with_their_position():
    """The first with its place, the others counted; a special token is no part of a text."""
    vocabulary = Vocabulary.of("abc")
    with pytest.raises(ValueError, match=r"'é' at position 2; 3 unknown in all, among them 'é', 'z'\."):
        vocabulary.encode("abézé")
    with pytest.raises(ValueError, match="'<' at position 3"):
        vocabulary.encode("abc<end>")
    with pytest.raises(ValueError, match="token of"):
        vocabulary["z"]


def test_given_tokens_are_taken_as_they_are():
    """Lists of words: their order, and their numbers."""
    vocabulary = Vocabulary.of([["to", "be"], ["or"]], special=("<start>", "<end>"))
    assert vocabulary.tokens == ("<start>", "<end>", "be", "or", "to")
    assert vocabulary.encode(["<start>", "or", "<end>"]).tolist() == [0, 3, 1]
    assert Vocabulary(["b", "a"]).encode("ab").tolist() == [1, 0]


@pytest.mark.parametrize("length, stride", [(5, None), (5, 1), (7, 3), (len(TEXT), None)])
def test_windows_are_pieces_of_the_text(length, stride):
    """Piece i begins at token i stride, all are whole, and there are as many as fit."""
    vocabulary = Vocabulary.of(TEXT)
    x = vocabulary.windows(TEXT, length, stride)
    step = stride or length
    assert x.dtype == np.int32 and x.flags.writeable
    assert vocabulary.decode(x) == [TEXT[i : i + length] for i in range(0, len(TEXT) - length + 1, step)]


def test_lines_end_with_the_end():
    """Each row is a line and then ends; decoded up to the end they are the lines."""
    lines = ["abc", "", "ab"]
    vocabulary = Vocabulary.of(lines)
    x = vocabulary.encode_lines(lines, 4)
    assert x.dtype == np.int32 and x.tolist() == [[1, 2, 3, 0], [0, 0, 0, 0], [1, 2, 0, 0]]
    assert vocabulary.decode(x, end="<end>") == lines
    assert vocabulary.decode(x[0]) == "abc<end>" and vocabulary.decode([1, 0, 2], end="<end>") == "a"
    with pytest.raises(ValueError, match="line 0, of 3: 'abc'"):
        vocabulary.encode_lines(lines, 3)
    with pytest.raises(ValueError, match="Line 1, 'bad'.*'d' at position 2"):
        vocabulary.encode_lines(["a", "bad"], 5)
    with pytest.raises(ValueError, match="without '<end>'"):
        vocabulary.encode_lines([["a", "<end>", "b"]], 5)
    with pytest.raises(ValueError, match="'<stop>'"):
        vocabulary.encode_lines(lines, 4, end="<stop>")


@pytest.mark.parametrize("tokenizer", ["characters", "smiles"])
def test_json_keeps_the_vocabulary(tokenizer):
    """The same numbers after a round trip, of characters beyond ASCII too."""
    texts = ["CCl", "[nH]"] if tokenizer == "smiles" else ["naïve \U0001f600\n\"'", "x"]
    vocabulary = Vocabulary.of(texts, tokenizer=tokenizer)
    twin = Vocabulary.from_json(vocabulary.to_json())
    assert twin == vocabulary and hash(twin) == hash(vocabulary) and repr(twin) == repr(vocabulary)
    np.testing.assert_array_equal(twin.encode(texts[0]), vocabulary.encode(texts[0]))
    assert twin != Vocabulary.of("abc")
    for text in ("", "[]", '{"tokens": ["a"]}', '{"tokens": [], "special": [], "tokenizer": "smiles"}', None):
        with pytest.raises(ValueError, match="to_json"):
            Vocabulary.from_json(text)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: Vocabulary([]), "distinct strings"),
        (lambda: Vocabulary(["a", "a"]), "distinct strings"),
        (lambda: Vocabulary(["a", ""]), "distinct strings"),
        (lambda: Vocabulary(["a", 1]), "distinct strings"),
        (lambda: Vocabulary(["a"], special=["b"]), "among the tokens"),
        (lambda: Vocabulary(["a"], tokenizer="words"), "tokenizer"),
        (lambda: Vocabulary.of("abc", special=("a",)), "which occur"),
        (lambda: Vocabulary(["a"]).decode([1]), "from 0 to 0"),
        (lambda: Vocabulary(["a"]).decode([-1]), "from -1 to -1"),
        (lambda: Vocabulary(["a"]).decode([0.0]), "float64"),
        (lambda: Vocabulary(["a"]).decode(0), r"shape \(\)"),
        (lambda: Vocabulary(["a"]).decode([0], end="b"), "'b'"),
        (lambda: Vocabulary(["a"]).windows("aaa", 4), "at least 4 tokens.*Received: 3"),
        (lambda: Vocabulary(["a"]).windows("aaa", 0), "`length`"),
        (lambda: Vocabulary(["a"]).windows("aaa", 2, True), "`stride`"),
    ],
)
def test_wrong_arguments_are_named(make, match):
    """What was expected and what came."""
    with pytest.raises(ValueError, match=match):
        make()


# ---------------------------------------------------------------------------------------------------- SMILES


def test_tokens_are_atoms_bonds_and_rings():
    """Two letters, brackets and rings of two digits stay together."""
    expected = {
        "ClCBr": ["Cl", "C", "Br"],
        "C%12CC%12": ["C", "%12", "C", "C", "%12"],
        "[NH3+]C[C@@H](C)[O-]": ["[NH3+]", "C", "[C@@H]", "(", "C", ")", "[O-]"],
        r"F/C=C\F": ["F", "/", "C", "=", "C", "\\", "F"],
        "": [],
    }
    for smiles, tokens in expected.items():
        assert smiles_tokens(smiles) == tokens and "".join(tokens) == smiles


@pytest.mark.parametrize("smiles, position", [("CCX", 2), ("C[NH", 1), ("C C", 1), ("%1C", 0), ("C\n", 1)])
def test_what_is_no_token_is_named(smiles, position):
    """The character and its position."""
    with pytest.raises(ValueError, match=f"at position {position}"):
        smiles_tokens(smiles)
    with pytest.raises(ValueError, match="SMILES string"):
        smiles_tokens(None)


VALENCE = {"C": 4, "N": 3, "O": 2, "S": 2, "F": 1, "Cl": 1, "Br": 1, "c": 4}


def graph(smiles):
    """Atoms and bonds `(i, j, order)` of a SMILES string without brackets, read independently of how it was written."""
    atoms, bonds, stack, rings, last, order = [], [], [], {}, None, 1
    for token in re.findall(r"Cl|Br|[A-Za-z]|[=#()]|[0-9]", smiles):
        if token in "=#":
            order = {"=": 2, "#": 3}[token]
        elif token == "(":
            stack.append(last)
        elif token == ")":
            last = stack.pop()
        elif token.isdigit():
            other = rings.pop(token, None)
            if other is None:
                rings[token] = last
            else:
                bonds.append((other, last, 1))
        else:
            atoms.append(token)
            if last is not None:
                bonds.append((last, len(atoms) - 1, order))
            last, order = len(atoms) - 1, 1
    assert not stack and not rings, smiles
    return atoms, bonds


def invariant(smiles):
    """What two SMILES of one molecule share: the atoms' neighbourhoods, refined again and again."""
    atoms, bonds = graph(smiles)
    labels = list(atoms)
    for _ in atoms:
        near = [[] for _ in atoms]
        for i, j, order in bonds:
            near[i].append((order, labels[j]))
            near[j].append((order, labels[i]))
        labels = [hash((label, tuple(sorted(map(str, n))))) for label, n in zip(labels, near, strict=True)]
    return tuple(sorted(map(str, labels)))


def test_written_molecules_are_molecules():
    """Rings and branches close, no atom has more bonds than its valence, no molecule is written twice."""
    train, test = molecules.load_small()
    smiles = train + test
    assert (len(train), len(test), max(map(len, smiles))) == (556, 42, 22)
    for s in smiles:
        atoms, bonds = graph(s)
        for i, atom in enumerate(atoms):
            used = sum(order for a, b, order in bonds if i in (a, b)) + (atom == "c")
            assert 0 < used <= VALENCE[atom] or len(atoms) == 1, s
        assert "".join(smiles_tokens(s)) == s
    assert len({invariant(s) for s in smiles}) == len(smiles) == 598
    assert invariant("OCC") == invariant("CCO") != invariant("COC")


def test_molecules_are_split_by_what_they_are():
    """A molecule lies in one part, wherever it stands and however often; about one in ten is for tests."""
    train, test = molecules.load_small()
    again = molecules._split((train + test)[::-1] + test)
    assert set(again[0]) == set(train) and set(again[1]) == set(test) and not set(train) & set(test)


def test_molecules_of_files_are_checked(tmp_path):
    """No file, another name, another file, a damaged one: each says what to do."""
    with pytest.raises(FileNotFoundError, match="KERAS_GEN_DATA"):
        molecules.load_data("qm9")
    with pytest.raises(FileNotFoundError, match="qm9.smi.gz"):
        molecules.load_data("qm9", tmp_path)
    with pytest.raises(ValueError, match="'zinc250k'"):
        molecules.load_data("zinc")
    (tmp_path / "qm9.smi.gz").write_bytes(gzip.compress(b"C\nCC\n"))
    with pytest.raises(ValueError, match="of 2 lines"):
        molecules.load_data("qm9", tmp_path)
    (tmp_path / "qm9.smi.gz").write_bytes(gzip.compress(b"C\nCC\n")[:-9])
    with pytest.raises(ValueError, match="damaged"):
        molecules.load_data("qm9", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("name, sizes", [("qm9", (119687, 13328)), ("zinc250k", (224365, 25090))])
def test_real_molecules(name, sizes, data_folder):
    """The sizes of the split; the molecules of the test set are made of tokens, and come back."""
    if not (data_folder / molecules.FILES[name]).exists():
        pytest.skip(f"needs {molecules.FILES[name]}")
    train, test = molecules.load_data(name)
    assert (len(train), len(test)) == sizes and not set(train) & set(test)
    vocabulary = Vocabulary.of(test, tokenizer="smiles")
    longest = max(len(smiles_tokens(s)) for s in test)
    assert vocabulary.decode(vocabulary.encode_lines(test, longest + 1), end="<end>") == test


# ----------------------------------------------------------------------------------------------- Shakespeare


def test_the_excerpt_is_split_as_the_whole():
    """90 % and the rest, in the order of the text."""
    train, test = shakespeare.load_excerpt()
    assert (len(train), len(test)) == (89859, 9985) and train.startswith("First Citizen:\nBefore we proceed")
    assert len(set(train + test)) == 61 and set(test) <= set(train)
    vocabulary = Vocabulary.of(train, special=())
    assert vocabulary.decode(vocabulary.encode(test)) == test


def test_another_text_is_not_shakespeare(tmp_path):
    """By its SHA-256; the message says where the right one comes from."""
    (tmp_path / "tinyshakespeare.txt").write_text("to be")
    with pytest.raises(ValueError, match="char-rnn"):
        shakespeare.load_data(tmp_path)


def test_shakespeare_is_downloaded_where_there_is_no_file(monkeypatch, tmp_path):
    """By Keras, pinned to a commit and its SHA-256; a failure says what else can be done."""
    calls = []

    def get_file(name, url, **kwargs):
        calls.append((name, url, kwargs["file_hash"]))
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.utils.get_file", get_file)
    with pytest.raises(FileNotFoundError, match="KERAS_GEN_DATA"):
        shakespeare.load_data()
    assert calls == [(shakespeare.NAME, shakespeare.SOURCE, shakespeare.SHA256)]


@pytest.mark.real_data
def test_real_shakespeare(data_folder):
    """The published sizes, and the excerpt is its beginning."""
    if not (data_folder / shakespeare.NAME).exists():
        pytest.skip("needs tinyshakespeare.txt")
    train, test = shakespeare.load_data()
    assert (len(train), len(test), len(set(train + test))) == (1003854, 111540, 65)
    assert train.startswith("".join(shakespeare.load_excerpt()))
