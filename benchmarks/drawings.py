"""Make the set `drawings` from the folder of pictures in Debian's package openclipart-png.

apt-get download openclipart-png && dpkg-deb -x openclipart-png_*.deb unpacked
python benchmarks/drawings.py unpacked/usr/share/openclipart/png --out src/kinema/data/drawings.npz

Logos, weapons, religion, nudes, photographs and portraits of people, the flags of parties, and pictures that
show nothing of their class were left out by eye.
"""

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.data.picture_folder import Found, pack

SIDE, MARGIN, COLOURS = 64, 2, 32
LARGEST, SMALLEST = 4_000_000, 40
"""pixels of a file, beyond which reading takes too long; longer side of a drawing in it that says enough"""
ALIKE = 8
"""mean difference in levels of pictures shrunk to 8x8, below which the later one is left out"""
HELD_OUT = 0.1

ROAD = [
    "Motorway_on", "airplane", "bambi", "bus_lane", "bus_opposite", "buses_and_bikes", "cattle",
    "crosswind", "cycle_lane", "cycles", "drawbridge", "end_daul", "grounded", "horse", "kaboom",
    "lorry_length", "no_cycles", "no_entry", "old_folks", "pass_either", "vehicles/crossroads",
    "vehicles/curve_ahead", "vehicles/cycle_lane", "vehicles/cycle_route", "roadsigns/*",
]  # fmt: skip
"""signs in the folder of vehicles"""
CLASSES = {
    "animals": ["animals/**/*"],
    "flags": [f"signs_and_symbols/flags/{part}" for part in (
        "africa/**/*", "america/**/*", "asia/**/*", "europe/**/*", "oceania/**/*", "signalflag*",
    )],
    "food": [f"food/{part}" for part in (
        "*", "beverages/**/*", "breads_and_carbs/*", "dairy/*", "desserts/*", "meats_and_eggs/*",
    )],
    "people": ["people/*", "people/smilies/*", "people/stickmen/*"],
    "plants": ["plants/**/*", "food/fruit/*", "food/vegetables/*", *(
        f"signs_and_symbols/map_symbols/{part}" for part in ("plant*", "*tree*")
    )],
    "recreation": [f"recreation/{part}/*" for part in ("games", "music", "party", "sports", "toys")],
    "signs": [f"transportation/{name}" for name in ROAD] + ["shapes/arrows/*"] + [
        f"signs_and_symbols/{part}" for part in (
            "map_symbols/aiga*", "[A-Z]*", "*_yv*", "direction_*", "interdiction_*", "protection_*",
            "sortie_*",
        )
    ],
    "tools": ["tools/*", "office/*"],
}  # fmt: skip
"""class -> where its drawings are"""
LEFT_OUT = re.compile(
    # animals
    r"2_dead|tux|duck_yellow|manager_|kallisti|lucchetto|cymru|emule|vgcats|mascot|three_eyes|turkey_|/fantasy/|scrathing|"
    # flags
    r"inukshuk|/route_|ampel|fleur_de|padania|1959|usa_miss|tibet|/bretagne|coat_of|ile_de_france_01|citt_di|"
    # people
    r"plays_soccer|happy_boy|man_singing|youngster|grandpa|luther|coltrane|einstein|bach_|beethov|handel_|portrait|brozo|"
    r"enthusiast|beckham|van_gogh|silvia|female|silhouette_male|hide_girl|sexy|stripper|saxowoman|incinta|elfish|fata_|"
    r"pregnancy|jazz|hygieia|bad_guy|fireman|fire_engine|crossbones|skull|panic|3_faces|eye|safety_pin|samoa|gender|"
    r"buddy|yoga|_stefan_|chav|camper|car_ride|"
    # food and plants
    r"chef_|flower-pot|alcohol|cannabis|human_|bowsaw|pruner|christmas_balls|juice_glass|tote|"
    # recreation and signs
    r"dancer|party/fire|/sport_|judo|karate|nunchaku|binoculars|domo_|nws_|"
    # tools
    r"gallows|insecticide|smoke_|kexi|scart|arrow1_s|cross_hand|diagramma|ink_ff77|braces|fabbrica|reunion|pansement|"
    r"natural_gas|donkey|mattone|panel_|bucket_m|milimetered|handshake|manuscriot"
)


def main() -> None:
    """Collect, split, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None  # larger ones are not decoded
    parts: dict[bool, list[tuple[NDArray[np.uint8], int]]] = {False: [], True: []}
    small: list[NDArray[np.float32]] = []
    for label, (name, patterns) in enumerate(CLASSES.items()):
        files = sorted({p for pattern in patterns for p in flags.folder.glob(f"{pattern}.png")})
        read = [(version(p.stem), pixels) for p in files if (pixels := drawn(p, flags.folder)) is not None]
        kept = [(key, pixels) for key, pixels in read if is_new(pixels, small)]
        held = held_out([key for key, _ in kept])
        for key, pixels in kept:
            parts[key in held].append((pixels, label))
        counts = len(kept), sum(key in held for key, _ in kept)
        print(f"{name}: {len(files)} files, {counts[0]} kept, {counts[1]} of them held out", flush=True)
    pack(found(parts[False]), found(parts[True]), flags.out)


def found(part: list[tuple[NDArray[np.uint8], int]]) -> Found:
    """One side of the split."""
    pixels, labels = zip(*part, strict=True)
    return Found(np.stack(pixels), np.array(labels, np.int64), list(CLASSES), [])


def drawn(path: Path, folder: Path) -> NDArray[np.uint8] | None:
    """What is not see-through, on white, (64, 64, 3) in few colours; None if it is left out."""
    if path.is_symlink() or LEFT_OUT.search(f"/{path.relative_to(folder)}"):
        return None
    with Image.open(path) as picture:
        if picture.width * picture.height > LARGEST:
            return None
        scale = max(1.0, max(picture.size) / 512)
        picture = picture.convert("RGBA").resize([max(1, round(s / scale)) for s in picture.size], Image.BOX)
    box = picture.getchannel("A").point(lambda level: 255 * (level > 8)).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) * scale < SMALLEST:
        return None
    picture = picture.crop(box)
    flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    ratio = (SIDE - 2 * MARGIN) / max(flat.size)
    flat = flat.resize([max(1, round(s * ratio)) for s in flat.size], Image.LANCZOS)
    page = Image.new("RGB", (SIDE, SIDE), "white")
    page.paste(flat, ((SIDE - flat.width) // 2, (SIDE - flat.height) // 2))
    return np.asarray(page.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB"))


def is_new(pixels: NDArray[np.uint8], small: list[NDArray[np.float32]]) -> bool:
    """Whether no drawing before looks like it; it is then added to them."""
    own = pixels.reshape(8, 8, 8, 8, 3).mean((1, 3), dtype=np.float32)
    if small and min(abs(np.stack(small) - own).mean((1, 2, 3))) < ALIKE:
        return False
    small.append(own)
    return True


def version(name: str) -> str:
    """What drawings of one thing have in common: the first word, as in pie_apple and pie_apple_bw."""
    return re.split(r"[_\d.]", name.lstrip("_"))[0]


def held_out(versions: list[str]) -> set[str]:
    """Versions of a tenth of a class, by a hash of their names; none is more than a third of the tenth."""
    room = round(HELD_OUT * len(versions))
    out: set[str] = set()
    for name in sorted(set(versions), key=lambda name: hashlib.sha256(name.encode()).digest()):
        count = versions.count(name)
        if count <= min(room, max(1, round(HELD_OUT * len(versions) / 3))):
            out.add(name)
            room -= count
    return out


if __name__ == "__main__":
    main()
