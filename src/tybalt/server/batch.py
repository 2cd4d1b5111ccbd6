"""The answers of one 2025-03-26 batch, collected until the last one is there."""

from tybalt.protocol.actions import join_batch


class BatchAnswers:
    """Collects what a batch is answered with, in whatever order its requests finish."""

    def __init__(self) -> None:
        self._answers: list[bytes] = []
        self._expected = 0
        self._closed = False

    def add(self, answer: bytes | None) -> None:
        """An element was answered at once, or not at all."""
        if answer is not None:
            self._answers.append(answer)

    def expect(self) -> None:
        """An element will be answered later, with `settle`."""
        self._expected += 1

    def settle(self, answer: bytes | None) -> bytes | None:
        """An expected answer is there, or will never be; the whole answer if that was the last."""
        self._expected -= 1
        self.add(answer)
        return self._whole()

    def close(self) -> bytes | None:
        """Every element was started; the whole answer if none is expected any more."""
        self._closed = True
        return self._whole()

    @property
    def is_whole(self) -> bool:
        """Whether nothing more is expected."""
        return self._closed and not self._expected

    def _whole(self) -> bytes | None:
        return join_batch(self._answers) if self.is_whole else None
