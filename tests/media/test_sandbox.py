"""Files decode to exactly the samples that were put in, apart from the program, within limits."""

import os
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from longtake.media.probe import Container
from longtake.media.sandbox import Decoding, MediaSource, Sandbox
from longtake.media.sandbox_wire import DATA as SOUND
from longtake.media.sandbox_wire import HEAD, Job, Limits, write_json, write_message
from longtake.model.errors import MediaError
from tests.media.synth import DATA, LOSSY, decode, encoded, lag, quantised, snr_db, source, tone, wav

LENGTHS = [1, 1024, 48_000, 100_001]


def children_of(pid):
    """The living child processes of a process."""
    return [child for child in psutil.Process(pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def endless(folder, *, hours=10):
    """A stereo WAV of that many hours that takes no room on the disk."""
    file = wav(tone(48_000), size=0xFFFFFFFF)
    media = source(folder, file, Container.WAV)
    os.truncate(media.path, 44 + hours * 3600 * 192_000)
    return MediaSource(path=media.path, offset=0, size=media.path.stat().st_size, container=Container.WAV)


class TestExactness:
    @pytest.mark.parametrize("bits", [16, 24, 32])
    @pytest.mark.parametrize("samples", LENGTHS)
    def test_a_wav_is_exact(self, sandbox, tmp_path, bits, samples):
        pcm = quantised(tone(samples), bits) if bits < 32 else tone(samples)
        heard, decoding = decode(sandbox, source(tmp_path, wav(pcm, bits=bits), Container.WAV))
        assert np.array_equal(heard, pcm)
        assert (decoding.rate_hz, decoding.channels, decoding.damage) == (48_000, 2, None)

    @pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 96_000])
    def test_the_native_rate_is_kept(self, sandbox, tmp_path, rate_hz):
        pcm = quantised(tone(rate_hz, channels=1, rate_hz=rate_hz), 16)
        heard, decoding = decode(sandbox, source(tmp_path, wav(pcm, rate_hz=rate_hz), Container.WAV))
        assert np.array_equal(heard, pcm)
        assert decoding.rate_hz == rate_hz

    @pytest.mark.parametrize(("sample_format", "bits"), [("s16", 16), ("s32", 24)])
    def test_a_flac_is_exact(self, sandbox, tmp_path, sample_format, bits):
        pcm = quantised(tone(100_001), bits)
        file = encoded(pcm, container="flac", codec="flac", sample_format=sample_format)
        heard, _ = decode(sandbox, source(tmp_path, file, Container.FLAC))
        assert np.array_equal(heard, pcm)

    @pytest.mark.parametrize("samples", LENGTHS[1:])
    @pytest.mark.parametrize("name", LOSSY)
    def test_a_lossy_file_has_its_exact_length_and_place(self, sandbox, tmp_path, name, samples):
        container, muxer, codec = LOSSY[name]
        pcm = tone(samples)
        heard, decoding = decode(sandbox, source(tmp_path, encoded(pcm, container=muxer, codec=codec), container))
        assert heard.shape == pcm.shape
        assert decoding.damage is None
        if samples > 40_000:
            assert lag(pcm, heard) == 0
            assert snr_db(pcm, heard) > 15

    def test_adts_has_whole_frames_and_its_priming(self, sandbox, tmp_path):
        file = encoded(tone(48_000), container="adts", codec="aac")
        heard, _ = decode(sandbox, source(tmp_path, file, Container.ADTS))
        assert heard.shape[1] == (47 + 1) * 1024

    def test_vorbis_has_its_exact_length(self, sandbox):
        path = DATA / "vorbis.ogg"
        media = MediaSource(path=path, offset=0, size=path.stat().st_size, container=Container.OGG)
        heard, decoding = decode(sandbox, media)
        assert (heard.shape, decoding.rate_hz) == ((2, 44_100), 44_100)

    def test_a_range_of_a_pack_is_a_file_of_its_own(self, sandbox, tmp_path):
        pcm = quantised(tone(5000), 16)
        heard, _ = decode(sandbox, source(tmp_path, wav(pcm), Container.WAV, before=b"RIFF" * 1000))
        assert np.array_equal(heard, pcm)

    def test_more_than_two_channels_are_mixed_down(self, sandbox, tmp_path):
        heard, decoding = decode(sandbox, source(tmp_path, wav(tone(48_000, channels=6)), Container.WAV))
        assert heard.shape == (2, 48_000)
        assert decoding.channels == 2

    def test_numbers_that_are_none_become_silence(self, sandbox, tmp_path):
        pcm = tone(1000)
        pcm[0, 10], pcm[1, 20] = np.nan, np.inf
        heard, _ = decode(sandbox, source(tmp_path, wav(pcm, bits=32), Container.WAV))
        assert heard[0, 10] == heard[1, 20] == 0
        assert np.isfinite(heard).all()

    def test_a_change_of_rate_and_channels_becomes_the_first_ones(self, sandbox, tmp_path):
        first = encoded(tone(48_000), container="adts", codec="aac")
        second = encoded(tone(44_100, channels=1, rate_hz=44_100), container="adts", codec="aac", rate_hz=44_100)
        heard, decoding = decode(sandbox, source(tmp_path, first + second + first, Container.ADTS))
        assert (decoding.rate_hz, len(heard)) == (48_000, 2)
        assert abs(heard.shape[1] - 3 * 49_152) < 2000


class TestHeadersThatLie:
    @pytest.mark.parametrize("size", [0, 100, 0xFFFFFFFF, 0x7FFFFFFF])
    def test_a_wavs_size_is_not_trusted(self, sandbox, tmp_path, size):
        pcm = quantised(tone(20_001), 16)
        heard, _ = decode(sandbox, source(tmp_path, wav(pcm, size=size), Container.WAV))
        assert np.array_equal(heard, pcm)

    def test_chunks_behind_a_wavs_data_are_no_sound(self, sandbox, tmp_path):
        pcm = quantised(tone(1001), 16)
        file = wav(pcm) + b"LIST\x04\0\0\0INFO"
        heard, _ = decode(sandbox, source(tmp_path, file, Container.WAV))
        assert np.array_equal(heard, pcm)


class TestLimits:
    def test_a_file_that_is_too_long_is_refused(self, tmp_path):
        with Sandbox(limits=Limits(duration_s=1)) as sandbox, pytest.raises(MediaError) as refused:
            decode(sandbox, source(tmp_path, wav(tone(96_000)), Container.WAV))
        assert refused.value.code == "media_limit"
        assert not refused.value.is_retryable

    def test_a_decoder_that_was_taken_over_sends_no_more_than_a_file_may_hold(self, sandbox):
        output, output_write = os.pipe()
        status, status_write = os.pipe()

        def take_over():
            write_json(output_write, HEAD, rate_hz=8000, channels=1)
            with suppress(BrokenPipeError):  # the reader hangs up at the third, perhaps before the fourth is written
                for _ in range(4):
                    write_message(output_write, SOUND, bytes(4 * 8000))
            os.close(output_write)
            os.close(status_write)

        job = Job(job=1 << 40, ffmpeg_format="flac", offset=0, size=1, limits=Limits(duration_s=2))
        taken_over = threading.Thread(target=take_over)
        taken_over.start()
        with Decoding(sandbox, job, output=output, status=status) as decoding:
            decoding.start()
            assert [next(decoding).shape, next(decoding).shape] == [(1, 8000), (1, 8000)]
            with pytest.raises(MediaError, match="longer than 2 s") as refused:
                next(decoding)
            assert (refused.value.code, refused.value.is_retryable) == ("media_limit", False)
            taken_over.join()

    def test_too_many_streams_are_refused(self, sandbox, tmp_path):
        file = encoded(tone(1024), container="matroska", codec="aac", streams=50)
        with pytest.raises(MediaError) as refused:
            sandbox.open(source(tmp_path, file, Container.MATROSKA))
        assert refused.value.code == "media_limit"

    def test_too_much_memory_is_refused(self, tmp_path):
        with Sandbox(limits=Limits(memory_bytes=1 << 20)) as sandbox, pytest.raises(MediaError) as refused:
            decode(sandbox, source(tmp_path, encoded(tone(480_000), container="flac", codec="flac"), Container.FLAC))
        assert refused.value.code == "media_limit"

    def test_too_much_cpu_is_refused(self, tmp_path):
        limits = Limits(cpu_s=1, cpu_s_per_mib=0)
        with Sandbox(limits=limits) as sandbox, pytest.raises(MediaError) as refused:
            decode(sandbox, endless(tmp_path))
        assert refused.value.code == "media_limit"

    def test_a_decoder_that_stands_still_is_given_up(self, tmp_path):
        with Sandbox(limits=Limits(stall_s=2)) as sandbox, sandbox.open(endless(tmp_path)) as decoding:
            (child,) = children_of(sandbox.zygote_pid)
            child.suspend()
            with pytest.raises(MediaError) as given_up:
                for _ in decoding:
                    pass
            child.wait(5)
        assert given_up.value.code == "media_limit"

    def test_a_video_codec_or_none_is_unsupported(self, sandbox, tmp_path):
        file = encoded(tone(4800), container="matroska", codec="ac3")
        with pytest.raises(MediaError) as refused:
            sandbox.open(source(tmp_path, file, Container.MATROSKA))
        assert refused.value.code == "media_unsupported"

    def test_a_child_can_open_no_file_and_no_connection(self, sandbox, tmp_path):
        with sandbox.open(endless(tmp_path)) as decoding:
            next(decoding)
            (child,) = children_of(sandbox.zygote_pid)
            assert child.environ().keys() <= {"OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX", "LC_CTYPE"}
            assert child.net_connections() == []
            assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
            assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
            assert {file.path for file in child.open_files()} == {str(tmp_path / "media")}


class TestProcesses:
    def test_memory_is_flat_however_long_the_file(self, sandbox, tmp_path):
        media = endless(tmp_path)
        ours = psutil.Process()
        with sandbox.open(media) as decoding:
            (child,) = children_of(sandbox.zygote_pid)
            total = next(decoding).shape[1]
            before = ours.memory_info().rss, child.memory_info().rss
            for pcm in decoding:
                total += pcm.shape[1]
                if total > 3600 * 48_000:
                    break
            grown = ours.memory_info().rss - before[0], child.memory_info().rss - before[1]
        assert max(grown) < 16 << 20

    def test_a_killed_child_is_a_retryable_error(self, sandbox, tmp_path):
        with sandbox.open(endless(tmp_path)) as decoding:
            next(decoding)
            (child,) = children_of(sandbox.zygote_pid)
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(MediaError) as killed:
                for _ in decoding:
                    pass
        assert (killed.value.code, killed.value.is_retryable) == ("media_limit", True)

    def test_a_killed_zygote_takes_its_children_with_it_and_is_replaced(self, tmp_path):
        pcm = quantised(tone(1000), 16)
        with Sandbox() as sandbox, sandbox.open(endless(tmp_path)) as decoding:
            next(decoding)
            (child,) = children_of(sandbox.zygote_pid)
            psutil.Process(sandbox.zygote_pid).kill()
            child.wait(5)
            with pytest.raises(MediaError):
                for _ in decoding:
                    pass
            heard, _ = decode(sandbox, source(tmp_path, wav(pcm), Container.WAV, name="other"))
        assert np.array_equal(heard, pcm)

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_who_ends_the_service_ends_no_decoding(self, tmp_path, how):
        with Sandbox() as sandbox, sandbox.open(endless(tmp_path)) as decoding:
            (child,) = children_of(sandbox.zygote_pid)
            child.send_signal(how)
            psutil.Process(sandbox.zygote_pid).send_signal(how)
            heard = sum(next(decoding).shape[1] for _ in range(100))
            assert heard
            assert child.is_running()

    def test_closing_early_kills_the_child_and_leaks_nothing(self, tmp_path):
        with Sandbox() as sandbox:
            media = endless(tmp_path)
            decode(sandbox, source(tmp_path, wav(tone(10)), Container.WAV, name="first"))
            zygote = psutil.Process(sandbox.zygote_pid)
            wait_until(lambda: not zygote.children())
            before = psutil.Process().num_fds(), zygote.num_fds()
            for _ in range(20):
                with sandbox.open(media) as decoding:
                    next(decoding)
            wait_until(lambda: not zygote.children())
            assert (psutil.Process().num_fds(), zygote.num_fds()) == before

    def test_closing_the_sandbox_ends_all(self, tmp_path):
        sandbox = Sandbox()
        before = psutil.Process().num_fds()
        decoding = sandbox.open(endless(tmp_path))
        family = [psutil.Process(sandbox.zygote_pid), *children_of(sandbox.zygote_pid)]
        sandbox.close()
        decoding.close()
        assert psutil.wait_procs(family, timeout=5)[1] == []
        assert psutil.Process().num_fds() == before
        with pytest.raises(MediaError):
            sandbox.open(endless(tmp_path))

    def test_many_threads_decode_at_once(self, sandbox, tmp_path):
        signals = [quantised(tone(30_000, seed=seed), 16) for seed in range(8)]
        heard: dict[int, np.ndarray] = {}

        def work(number):
            media = source(tmp_path, wav(signals[number]), Container.WAV, name=str(number))
            for _ in range(5):
                heard[number] = decode(sandbox, media)[0]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(np.array_equal(heard[number], signals[number]) for number in range(8))


def wait_until(is_so, timeout_s=5):
    """Wait for something that happens by itself."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
