"""Video files, once: read, coded anew, copied stream by stream. PyAV (the extra ``video``) is loaded where it is used.

    clip = read(path)                  frames, uint8 (T, H, W, 3), and the frame rate; damaged streams are concealed
    frames_at(path, [3, 7])            some frames, from the key frame before them on; count(path) says how many it has
    transcode(content, "libx264", ...) decoded frames, coded anew by FFmpeg's encoder
    as_mjpeg(frames, rate)             frames as JPEG pictures in an AVI file: the pixels that ``read`` gives back

Encoders and decoders run on one thread, so that bytes and concealed pixels do not depend on the machine's cores.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from regrow.errors import OR_SKIP, DataError, InputError

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

Item = TypeVar("Item")
Frames = npt.NDArray[np.uint8]  # (T, H, W, 3), RGB

SUFFIXES = {".avi", ".mp4", ".mkv", ".webm", ".mov", ".ts", ".mpg", ".mpeg", ".m4v"}

#: Frames of which none can be coded before one that is shown earlier.
_NO_REORDERING = 2

#: Quality of the JPEG pictures of ``as_mjpeg``: that of the published sets of Yi et al. 2021.
JPEG_QUALITY = 80

#: FFmpeg's default quality of libx264, for frames that come without a file.
DEFAULT_CRF = {"crf": "23"}

#: Most pixels of a frame that is decoded, and most bytes of the frames of a clip that is read whole.
MOST_PIXELS, MOST_BYTES = 2**27, 2**33

#: Bits a second below which the encoders take no rate.
_LOWEST_RATE = 1000


@dataclass(frozen=True)
class Clip:
    """A video without its sound.

    Attributes:
        frames: uint8 (T, H, W, 3).
        rate: frames a second.
        content: the file that the frames were read from, where there is one.
        suffix: that file's type, e.g. ``".avi"``.
    """

    frames: Frames = field(repr=False)
    rate: Fraction
    content: bytes | None = field(default=None, repr=False)
    suffix: str = ""

    def __len__(self) -> int:
        """How many frames."""
        return len(self.frames)


def library() -> Any:
    """PyAV.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError:
        raise InputError("coded video needs PyAV, which is not installed.", "pip install 'regrow[video]'") from None
    av.logging.set_level(av.logging.PANIC)  # damaged streams are meant to be damaged
    return av


def versions() -> dict[str, str]:
    """Versions of PyAV and of the FFmpeg libraries in it."""
    av = library()
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {"av": av.__version__, "ffmpeg": f"{getattr(av, 'ffmpeg_version_info', '')} (libavcodec {codec})".strip()}


def encoders() -> list[str]:
    """Which of libx264 and libx265 this PyAV has."""
    known = library().codecs_available
    return [name for name in ("libx264", "libx265") if name in known]


#: Frames that a whole file may lack of those it announces: encoders of AVI files count one that is never shown.
_MAY_LACK = 2


def read(source: Path | bytes, n_frames: int | None = None, name: str = "", *, whole: bool = False) -> Clip:
    """All frames of a video.

    Args:
        source: a file, or what is in it.
        n_frames: how many frames it should have. Where some of a damaged stream cannot be decoded, the others are
            placed by their time and the last one before a gap is shown through it.
        name: for messages, where ``source`` has none.
        whole: refuse a file of which fewer frames can be decoded than it announces.

    Raises:
        DataError: no video, or not one frame of it can be decoded; or it is cut short and must not be.
    """
    name = name or (source.name if isinstance(source, Path) else "the clip")
    content = _content(source)
    suffix = source.suffix.lower() if isinstance(source, Path) else ""
    with opened(content, name) as container:
        stream = container.streams.video[0]
        rate = rate_of(stream)
        times: list[int | None] = []
        found, held = [], 0
        for time, frame in _pictures(container, times):
            held += frame.nbytes
            if held > MOST_BYTES:
                raise DataError(f"the frames of {name} take more than {MOST_BYTES / 2**30:g} GiB.", OR_SKIP)
            found.append((time, frame))
        base, announced = stream.time_base, _announced(container)
    if whole and found and len(found) < announced - _MAY_LACK:
        raise DataError(
            f"{name} is cut short or damaged: {len(found)} of its {announced} frames can be decoded.",
            OR_SKIP,
        )
    if not found or n_frames == 0:
        raise DataError(f"{name} holds no frame that can be decoded.", OR_SKIP)
    _require_one_size((frame for _, frame in found), name)
    if n_frames is not None and len(found) < n_frames:
        return Clip(_held(found, n_frames, _places(times, n_frames, base, rate)), rate, content, suffix)
    frames = np.empty((len(found) if n_frames is None else n_frames, *found[0][1].shape), np.uint8)
    for target in frames:
        target[...] = found.pop(0)[1]  # given back one by one: a clip is not held twice
    return Clip(frames, rate, content, suffix)


def _announced(container: InputContainer) -> int:
    """Frames that a file says it has, without those that an edit list cuts away; 0 where it does not say.

    An edit list hides what is before the start of a clip that was cut out without coding it anew.
    """
    stream = container.streams.video[0]
    entries = getattr(stream, "index_entries", ()) if "mp4" in container.format.name else ()  # PyAV 16 on
    shown = sum(not entry.is_discard for entry in entries)
    return min(stream.frames, shown) if shown else stream.frames


#: Decoders of codecs whose packets are one frame each, shown at the packet's time; others hold hidden or empty ones.
_FRAME_BY_FRAME = {"h264", "hevc", "vp9", "av1", "libdav1d", "libaom"}

Times = npt.NDArray[np.int64]


def _no_times() -> Times:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class _Index:
    """Where the frames of a file are.

    Attributes:
        count: how many frames can be decoded.
        times: presentation time of each, where the packets' times can be trusted; else empty, and frames are counted.
        key_times: presentation times of the key frames, in the order of decoding.
        key_packets: number of the packet of each.
        is_jpeg: whether every packet is a picture of its own.
    """

    count: int
    times: Times = field(default_factory=_no_times, repr=False)
    key_times: Times = field(default_factory=_no_times, repr=False)
    key_packets: Times = field(default_factory=_no_times, repr=False)
    is_jpeg: bool = False

    def start(self, number: int) -> int:
        """The packet from which on a frame can be decoded: the last key frame that is not shown after it.

        A key frame that comes before it in the file may be shown after it (open groups of pictures); what is between
        them needs the one before.
        """
        before = np.flatnonzero(self.key_times <= self.times[number])
        return int(self.key_packets[before[-1]]) if len(before) else 0


def count(path: Path, name: str = "") -> int:
    """How many frames a video has; for most files no frame is decoded.

    Raises:
        DataError: it cannot be read, or holds no frame.
    """
    return _index_of(path, name or path.name).count


def frames_at(path: Path, numbers: Sequence[int] | npt.NDArray[np.int64], name: str = "") -> Frames:
    """Some frames of a video, as ``read`` gives them, decoded from the key frame before the first of them on.

    Args:
        path: the file.
        numbers: which frames, one or more in any order, from 0 to below ``count``.
        name: for messages.

    Returns:
        uint8 (n, H, W, 3).

    Raises:
        DataError: it cannot be read, or a frame cannot be decoded.
    """
    name = name or path.name
    index, wanted = _index_of(path, name), sorted({int(n) for n in numbers})
    content = _content(path)
    if index.is_jpeg:
        found = _jpegs_at(content, name, wanted)
    elif len(index.times) and wanted[0] >= 0 and wanted[-1] < index.count:
        start = index.start(wanted[0])
        found = _shown_at(content, name, index.times, wanted, start)
        if start and len(found) < len(wanted):  # pictures refreshed piece by piece are whole some frames later
            found = _shown_at(content, name, index.times, wanted, 0)
    else:
        with opened(content, name) as container:
            frames = enumerate(itertools.islice(decoded(container), wanted[-1] + 1))
            found = {i: upright(frame) for i, frame in frames if i in set(wanted)}
    missing = [n for n in wanted if n not in found]
    if missing:
        raise DataError(f"frame {missing[0]} of {name} cannot be decoded.", OR_SKIP)
    _require_one_size(found.values(), name)
    return np.stack([found[int(n)] for n in numbers])


def _jpegs_at(content: bytes, name: str, wanted: Sequence[int]) -> dict[int, Frames]:
    found: dict[int, Frames] = {}
    with opened(content, name) as container:
        for i, packet in enumerate(itertools.islice(packets_of(container), wanted[-1] + 1)):
            if i in wanted:
                with contextlib.suppress(OSError):  # a damaged picture
                    found[i] = _jpeg(bytes(packet))
    return found


def _shown_at(content: bytes, name: str, times: Times, wanted: Sequence[int], start: int) -> dict[int, Frames]:
    """Frames by their time, decoded from a packet on. Packets are left out, not sought: few formats find them."""
    place = {int(times[n]): n for n in wanted}
    found: dict[int, Frames] = {}
    with opened(content, name) as container:
        for frame in decoded(container, start=start):
            if frame.pts in place:
                found[place[frame.pts]] = upright(frame)
                if len(found) == len(place):
                    break
    return found


def _index_of(path: Path, name: str) -> _Index:
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}).", OR_SKIP) from None
    return _indexed(path, name, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 16)
def _indexed(path: Path, name: str, _size: int, _changed: int) -> _Index:
    content = _content(path)
    with opened(content, name) as container:
        codec, is_avi = container.streams.video[0].codec_context.name, container.format.name == "avi"
        packets = [(packet.pts, packet.is_keyframe, packet.is_discard) for packet in packets_of(container)]
    if packets and codec == "mjpeg":
        return _Index(len(packets), is_jpeg=True)
    given = [time for time, _, _ in packets if time is not None]
    whole = len(set(given)) == len(packets) > 0 and packets[0][1] and min(given) == given[0]
    if whole and codec in _FRAME_BY_FRAME and not is_avi:  # times of AVI files are those of coding, not of showing
        times = sorted(time for time, _, is_cut in packets if not is_cut)
        if times:
            return _by_time(times, packets)
    with opened(content, name) as container:
        shown = [frame.pts for frame in decoded(container)]
    if not shown:
        raise DataError(f"{name} holds no frame that can be decoded.", OR_SKIP)
    in_order = whole and _rise(given) and shown == given  # no frame is coded before one that is shown earlier
    return _by_time(shown, packets) if in_order else _Index(len(shown))


def _by_time(times: Sequence[int | None], packets: Sequence[tuple[int | None, bool, bool]]) -> _Index:
    """The index of a file whose frames are known by their times."""
    keys = [(time, number) for number, (time, is_key, _) in enumerate(packets) if is_key]
    key_times, key_packets = np.array(keys, np.int64).T.copy()
    return _Index(len(times), np.array(times, np.int64), key_times, key_packets)


def _require_one_size(frames: Iterable[Frames], name: str) -> None:
    if len({frame.shape for frame in frames}) > 1:
        raise DataError(f"the frames of {name} change their size.", OR_SKIP)


def _pictures(container: InputContainer, times: list[int | None]) -> Iterator[tuple[int | None, Frames]]:
    """Time and pixels of the frames that can be decoded; ``times`` gets those of all packets."""
    if container.streams.video[0].codec_context.name != "mjpeg":
        for frame in decoded(container, times):
            yield frame.pts, upright(frame)
        return
    for packet in packets_of(container):
        times.append(packet.pts)
        with contextlib.suppress(OSError):  # a damaged picture
            yield packet.pts, _jpeg(bytes(packet))


def upright(frame: Any) -> Frames:
    """Pixels of a frame, turned as its display matrix says, as players do."""
    pixels: Frames = frame.to_ndarray(format="rgb24")
    quarter, rest = divmod(round(frame.rotation), 90)
    return np.ascontiguousarray(np.rot90(pixels, quarter)) if quarter % 4 and not rest else pixels


def _places(
    times: Sequence[int | None], n_frames: int, base: Fraction | None, rate: Fraction
) -> Callable[[int | None, int, int], int]:
    """Where a frame of a time belongs, given (time, first time found, its number among those found).

    Its place among the times of all packets, where these are all there; else by the frame rate.
    """
    slots = sorted({time for time in times if time is not None})
    if len(slots) == len(times) == n_frames:
        place = {time: i for i, time in enumerate(slots)}
        return lambda time, _first, number: place.get(time, number) if time is not None else number

    def by_rate(time: int | None, first: int, number: int) -> int:
        return number if time is None or base is None else round((time - first) * base * rate)

    return by_rate


def _rise(times: Sequence[int | None]) -> bool:
    """Whether times can be trusted: all there, each later than the last. Those of AVI files with B-frames are not."""
    return all(a is not None and b is not None and a < b for a, b in itertools.pairwise(times))


def _held(
    found: Sequence[tuple[int | None, Frames]], n_frames: int, place: Callable[[int | None, int, int], int]
) -> Frames:
    if not _rise([time for time, _ in found]):
        found = [(None, frame) for _, frame in found]
    first = next((time for time, _ in found if time is not None), 0)
    held: list[Frames | None] = [None] * n_frames
    for number, (time, frame) in enumerate(found):
        at = place(time, first, number)
        if 0 <= at < n_frames:
            held[at] = frame
    last = found[0][1]
    return np.stack([last := frame if frame is not None else last for frame in held])


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}).", OR_SKIP) from None


def _jpeg(content: bytes) -> Frames:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise OSError(f"{picture.width} x {picture.height} pixels are too many")
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # noqa: BLE001 (what Pillow raises on damage is not written down)
        raise OSError(f"no readable JPEG ({type(error).__name__})") from None


@contextlib.contextmanager
def opened(content: bytes, name: str = "the clip") -> Iterator[InputContainer]:
    """A video to read packets or frames from; its decoder runs on one thread.

    Raises:
        DataError: it is none.
    """
    av = library()
    try:
        container = av.open(io.BytesIO(content), metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{name} is no video that can be read ({reason}).", OR_SKIP) from None
    with container:
        if not container.streams.video:
            raise DataError(f"{name} holds no video stream.", OR_SKIP)
        context = container.streams.video[0].codec_context
        if context is None:
            raise DataError(f"{name} names no code of its video that can be decoded.", OR_SKIP)
        context.thread_type, context.thread_count = "NONE", 1
        context.options = {"max_pixels": str(MOST_PIXELS)}
        yield container


def rate_of(stream: Any) -> Fraction:
    """Frames a second of a video stream."""
    return Fraction(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)


def packets_of(container: InputContainer) -> Iterator[Any]:
    """Packets of the video, without the empty one at the end; a file that breaks off ends here."""
    av = library()
    packets = container.demux(container.streams.video[0])
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            continue
        if packet is None:
            return
        if packet.size:
            yield packet


def decoded(container: InputContainer, times: list[int | None] | None = None, *, start: int = 0) -> Iterator[Any]:
    """Frames of a video, in the order of showing; packets that cannot be decoded are left out.

    Args:
        container: what to read.
        times: gets the time of each packet.
        start: number of the first packet that is decoded, a key frame.
    """
    av = library()
    context = container.streams.video[0].codec_context
    for packet in itertools.islice(packets_of(container), start, None):
        if times is not None:
            times.append(packet.pts)
        with contextlib.suppress(av.error.FFmpegError):  # of many kinds, where a stream is damaged
            yield from context.decode(packet)
    with contextlib.suppress(av.error.FFmpegError):
        yield from context.decode(None)


def frames_of(frames: Frames) -> Iterator[Any]:
    """Pixels as frames for ``encode``."""
    av = library()
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1)
        yield frame


def writing(buffer: io.BytesIO, container: str) -> OutputContainer:
    """A file to be written, without the random numbers and the date that some formats hold.

    Args:
        buffer: where it goes.
        container: FFmpeg's name of the file format.
    """
    out: OutputContainer = library().open(buffer, "w", format=container, options={"fflags": "+bitexact"})
    return out


def encode(
    frames: Iterator[Any],
    rate: Fraction,
    encoder: str,
    options: Mapping[str, str],
    *,
    container: str = "mp4",
    bit_rate: int | None = None,
) -> bytes:
    """Code frames as 4:2:0, numbered anew; odd sides are cut to even ones as FFmpeg's crop filter does.

    Args:
        frames: of PyAV.
        rate: frames a second.
        encoder: ``"libx264"`` or ``"libx265"``.
        options: of the encoder.
        container: FFmpeg's name of the file format.
        bit_rate: average, greatest, and size of the rate buffer.

    Raises:
        InputError: this PyAV has no such encoder.
    """
    if encoder not in encoders():
        raise InputError(
            f"PyAV {library().__version__} has no encoder {encoder}.", "pip install 'av>=18.1,<19' from a wheel."
        )
    limits = {"maxrate": str(bit_rate), "bufsize": str(bit_rate)} if bit_rate is not None else {}
    buffer = io.BytesIO()
    with told(encoder), writing(buffer, container) as out:
        stream: Any = None
        packets: list[Any] = []
        for number, frame in enumerate(frames):
            picture = _even(frame)
            if stream is None:
                stream = out.add_stream(encoder, rate=rate, options={**options, **limits, **_steady(encoder)})
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.format.name
                context = stream.codec_context
                context.thread_count = 1
                for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
                    setattr(context, tag, getattr(picture, tag))
                if bit_rate is not None:
                    stream.bit_rate = bit_rate
            picture.pts, picture.time_base = number, 1 / rate
            picture.pict_type = 0  # the encoder chooses
            packets += stream.encode(picture)
        if stream is not None:
            packets += stream.encode(None)
        if len(packets) <= _NO_REORDERING:
            for packet in packets:  # libx265 leaves the decoding times of so few frames unset
                packet.dts = packet.pts
        out.mux(packets)
    return buffer.getvalue()


@contextlib.contextmanager
def told(who: str) -> Iterator[None]:
    """Turn FFmpeg's errors into one line.

    Raises:
        DataError: in their place.
    """
    try:
        yield
    except library().error.FFmpegError as error:
        reason = " ".join(str(error).split())[:100]
        next_step = "leave it out, or bring it to 64 px or more."
        raise DataError(f"{who} cannot code the clip ({reason}).", next_step) from None


def _steady(encoder: str) -> dict[str, str]:
    """Options that make an encoder's bytes the same each time and on each processor."""
    if encoder == "libx265":
        return {"x265-params": "log-level=none:pools=none:frame-threads=1"}
    if platform.machine().lower() in ("x86_64", "amd64"):
        # the macroblock tree of x264 reads memory that nothing has set where it uses AVX-512: bytes then differ from
        # run to run; code for SSE 4.2 is as fast here, and every processor has it
        return {"x264-params": "asm=MMX2,SSE2,SSE3,SSSE3,SSE4.2"}
    return {}


#: Pixel formats that are coded as they are: 4:2:0 of 8 bits, in either range.
_AS_IS = ("yuv420p", "yuvj420p")


def _even(frame: Any) -> Any:
    """The frame upright, as 4:2:0, its middle cut to even sides where they are odd; its colours stay tagged."""
    av = library()
    if round(frame.rotation) % 360:
        frame = av.VideoFrame.from_ndarray(upright(frame), format="rgb24")
    picture = frame if frame.format.name in _AS_IS else frame.reformat(format="yuv420p")
    if picture.width % 2 == 0 and picture.height % 2 == 0:
        return picture
    even = av.VideoFrame(picture.width // 2 * 2, picture.height // 2 * 2, picture.format.name)
    for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(even, tag, getattr(picture, tag))
    for number, plane in enumerate(even.planes):
        source = picture.planes[number]
        rows = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)
        target = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        target[: plane.height, : plane.width] = rows[: plane.height, : plane.width]
    return even


def transcode(
    content: bytes,
    encoder: str,
    options: Mapping[str, str],
    *,
    rate: int | Fraction | None = None,
    container: str = "mp4",
    bit_rate: int | None = None,
) -> bytes:
    """Decode a file and code its frames anew, colours untouched; see ``encode``.

    Args:
        content: the file.
        encoder: as in ``encode``, and so all that follow.
        options: of the encoder.
        rate: another frame rate; frames are dropped or repeated, see ``resampled``.
        container: file format.
        bit_rate: average and limit.
    """
    with opened(content) as source:
        stream = source.streams.video[0]
        old, base = rate_of(stream), stream.time_base
        if rate is None:
            return encode(decoded(source), old, encoder, options, container=container, bit_rate=bit_rate)
        trusted = base is not None and _rise([frame.pts for frame in decoded(source)])
    with opened(content) as source:

        def time_of(frame: Any) -> Fraction | None:
            return frame.pts * base if trusted else None

        shown = resampled(decoded(source), old, Fraction(rate), time_of)
        return encode(shown, Fraction(rate), encoder, options, container=container, bit_rate=bit_rate)


def at_part_of_rate(content: bytes, encoder: str, divisor: float) -> bytes:
    """Code a file anew at its own bit rate divided by ``divisor``: average, greatest, and size of the rate buffer."""
    return transcode(content, encoder, {}, bit_rate=max(_LOWEST_RATE, int(bit_rate(content) / divisor)))


def bit_rate(content: bytes) -> float:
    """Bits a second of a file, sound and container included, as ffprobe tells them."""
    with opened(content) as container:
        if container.bit_rate:
            return float(container.bit_rate)
        n_frames = sum(1 for _ in decoded(container))
        return len(content) * 8 * float(rate_of(container.streams.video[0])) / max(1, n_frames)


def copied(
    content: bytes, container: str, filters: str, alter: Callable[[Sequence[Any]], None] = lambda _: None
) -> bytes:
    """Copy the video stream of a file without coding it anew.

    Args:
        content: the file.
        container: FFmpeg's name of the file format.
        filters: bit stream filters in FFmpeg's notation, e.g. ``"noise=1000"``.
        alter: may change the filtered packets in place.
    """
    av = library()
    buffer = io.BytesIO()
    with opened(content) as source, told("FFmpeg"), writing(buffer, container) as out:
        video = source.streams.video[0]
        target = out.add_stream_from_template(video)
        chain = av.BitStreamFilterContext(filters, video)
        packets = [new for packet in packets_of(source) for new in chain.filter(packet)]
        packets += chain.filter(None)
        alter(packets)
        for packet in packets:
            packet.stream = target
            out.mux(packet)
    return buffer.getvalue()


def resampled(
    frames: Iterator[Item],
    old: Fraction,
    new: Fraction,
    time_of: Callable[[Item], Fraction | None] = lambda _: None,
) -> Iterator[Item]:
    """Frames at another rate: each is shown at the nearest new time, as FFmpeg's filter ``fps`` does.

    Of a clip so short that no frame would be left, the last one is.

    Args:
        frames: in the order of showing.
        old: their rate.
        new: the rate that is wanted.
        time_of: time of a frame in seconds, for clips whose rate varies; by default by number.

    Example:
        >>> list(resampled(iter(range(10)), Fraction(25), Fraction(10)))
        [1, 3, 6, 8]
    """
    start: Fraction | None = None
    shown: list[Item] = []
    last: list[Item] = []
    at, time = 0, Fraction(0)
    for number, frame in enumerate(frames):
        given = time_of(frame)
        time = number / old if given is None else given
        start = time if start is None else start
        place = math.floor((time - start) * new + Fraction(1, 2))
        if last and place > at:
            yield from last * (place - at)
            shown = last
        at, last = max(at, place) if number else place, [frame]
    end = math.floor((time + 1 / old - (start or 0)) * new + Fraction(1, 2))
    yield from last * max(end - at, 0 if shown else 1)


def as_jpegs(frames: Frames, quality: int = JPEG_QUALITY) -> list[bytes]:
    """Frames as JPEG files of Pillow's encoder."""
    from PIL import Image

    files = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
        files.append(buffer.getvalue())
    return files


def through_jpeg(frames: Frames, quality: int = JPEG_QUALITY) -> Frames:
    """The pixels of frames after they were saved by ``as_mjpeg`` and read again."""
    return np.stack([_jpeg(content) for content in as_jpegs(frames, quality)])


def as_mjpeg(frames: Frames, rate: Fraction, quality: int = JPEG_QUALITY) -> bytes:
    """Frames as an AVI file of JPEG pictures, which any player opens."""
    av = library()
    buffer = io.BytesIO()
    with writing(buffer, "avi") as out:
        stream = out.add_stream("mjpeg", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.time_base = "yuvj420p", 1 / rate
        for number, content in enumerate(as_jpegs(frames, quality)):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, 1 / rate, True
            packet.pts = packet.dts = number
            out.mux(packet)
    return buffer.getvalue()
