"""Names that do not say how they are encoded: read as they were meant, all of an archive alike."""

# ruff: noqa: RUF001
from __future__ import annotations

import io
import random
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.blobs import MemoryBlobs
from core.intake import Limits
from core.intake.archives import ArchiveCounts, members, take_in
from core.intake.archives.names import decode_names, guess
from tests.core.archiving import CAPS, tar_of

WORDS = {
    "cp932": "細胞 血液 好中球 リンパ球 新しいフォルダー 検体 症例十 ソフト 表 能力 予定",
    "euc_jp": "細胞 血液 好中球 リンパ球 新しいフォルダー 検体 症例",
    "gb18030": "细胞 血液 图片 中性粒细胞 新建文件夹 副本 患者 照片 骨髓 染色",
    "cp950": "細胞 血液 圖片 嗜中性球 新增資料夾 檢體 病患 骨髓 功能 許功蓋",
    "cp949": "세포 혈액 사진 호중구 새폴더 검체 환자 골수 염색",
    "cp1251": "клетка кровь Изображение нейтрофил Новая папка мазок Петров",
    "cp866": "клетка кровь Изображение нейтрофил Новая папка мазок Петров",
    "koi8_r": "клетка кровь Изображение нейтрофил Новая папка мазок Петров",
    "cp1252": "Müller Größe Straße Blutkörperchen Färbung Präparat",
    "cp850": "Müller Größe Straße Blutkörperchen Färbung Präparat",
    "latin-1": "éosinophile échantillon prélèvement hématologie où",
    "mac_roman": "éosinophile échantillon prélèvement hématologie cœur",
    "cp1250": "komórka próbka źródło zdjęcie Łukasz święto",
    "cp852": "buňka šíře větší Řehoř Žižka číslo nátěr",
    "cp1253": "κύτταρο αίμα εικόνα ουδετερόφιλο δείγμα",
    "cp1254": "hücre kırmızı görüntü şekil ağırlık ışık",
    "cp1255": "תאים תמונה דגימה חולה צילום",
    "cp1256": "خلية صورة عينة مريض نتيجة",
    "cp874": "เซลล์ เลือด รูปภาพ ตัวอย่าง ผู้ป่วย",
}
OF_DOS = {"cp850", "cp852", "cp866", "cp932", "cp949", "cp950", "gb18030"}


@pytest.mark.parametrize("codec", WORDS)
def test_names_are_read_in_the_encoding_they_were_written_in(codec: str) -> None:
    names = [f"{word}_{number}.png" for number, word in enumerate(WORDS[codec].split())]
    raw = [name.encode(codec) for name in names]
    encoding = guess(raw, dos=codec in OF_DOS)
    assert [encoding.decode(name) for name in raw] == names


@pytest.mark.parametrize(
    ("name", "codec"),
    [("ß.png", "latin-1"), ("ü.png", "cp850"), ("表.png", "cp932"), ("细胞.png", "gb18030")],
)
def test_one_short_name_is_enough_where_it_can_be(name: str, codec: str) -> None:
    raw = name.encode(codec)
    assert guess([raw], dos=codec in OF_DOS).decode(raw) == name


def test_names_in_utf8_among_others_stay_what_they_are() -> None:
    meant = ["Müller.png", "细胞核.png", "Größe.png", "Färbung.png"]
    raw = [meant[0].encode(), meant[1].encode(), *(name.encode("cp1252") for name in meant[2:])]
    encoding = guess(raw, dos=False)
    assert [encoding.decode(name) for name in raw] == meant


def test_names_of_files_on_a_disk_are_read_alike() -> None:
    on_disk = [name.encode("latin-1").decode("utf-8", "surrogateescape") for name in ("ß", "größe")]
    assert decode_names([*on_disk, "細胞", "plain"]) == ["ß", "größe", "細胞", "plain"]


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_any_bytes_are_a_name_and_those_of_ascii_stay(names: list[bytes], dos: bool) -> None:
    encoding = guess(names, dos=dos)
    for raw in names:
        decoded = encoding.decode(raw)
        decoded.encode()
        assert bool(decoded) == bool(raw)
        if raw.isascii():
            assert decoded == raw.decode()


@given(st.binary(max_size=30))
def test_a_suffix_is_found_whatever_the_encoding(stem: bytes) -> None:
    raw = stem + b".png"
    assert guess([raw], dos=True).decode(raw).endswith((".png", ".png\ufffd"))


def test_many_long_or_odd_names_are_read_in_a_moment() -> None:
    noise = random.Random(1)
    names = [noise.randbytes(60_000) for _ in range(50)] + [noise.randbytes(20)] * 5000
    encoding = guess(names, dos=True)
    began = time.process_time()
    assert all(map(encoding.decode, names))
    assert time.process_time() - began < 20


def taken_names(names: list[str]) -> list[str]:
    """Return the names under which the files of a tar in Latin-1 are written down, in order."""
    files = {name.encode("latin-1").decode("utf-8", "surrogateescape"): b"x" for name in names}
    written: list[str] = []
    take_in(
        members(io.BytesIO(tar_of(tarfile.GNU_FORMAT, files)), MemoryBlobs(), CAPS),
        MemoryBlobs(),
        Limits(1000, 1000),
        lambda arrivals, _: written.extend(arrival.name for arrival in arrivals),
        ArchiveCounts(),
    )
    return written


def test_a_tar_whose_names_are_decoded_late_is_taken_in_its_order() -> None:
    names = [f"{i}.png" for i in range(3)] + ["ß.png", "ü/größe.png", "last.png"]
    assert taken_names(names) == names


def test_so_many_names_decide_and_the_rest_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.intake.archives.taking._MOST_HELD", 4)
    names = ["größe.png", *(f"{i}.png" for i in range(10)), "weiß.png"]
    assert taken_names(names) == names
