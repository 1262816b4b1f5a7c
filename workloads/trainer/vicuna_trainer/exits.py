"""How training processes end, and the one exception that ends them with a sentence for the user.

| code | meaning                                                                  | would a restart help?             |
|------|--------------------------------------------------------------------------|-----------------------------------|
| 0    | training is complete, or it stopped on the operator's word               | -                                 |
| 1    | an error nobody foresaw; the traceback is in the log                     | perhaps                           |
| 64   | the configuration cannot work                                            | no                                |
| 65   | the loss is not finite                                                   | no, not with the same recipe      |
| 66   | model, tokenizer, dataset or checkpoint is missing, unreadable or damaged | once the input has been repaired |
| 69   | another process of the gang was lost                                     | yes, in the next generation       |
| 74   | the storage did not take a save that training cannot go on without       | once the storage works again      |
| 143  | the supervisor was told to end (SIGTERM); the last save was tried before | yes, on another node              |
"""

from __future__ import annotations

ERROR = 1
BAD_CONFIGURATION = 64
LOSS_NOT_FINITE = 65
BAD_INPUT = 66
PEER_LOST = 69
STORAGE_FAILED = 74
TERMINATED = 143


class TrainingError(Exception):
    """Ends a training process with `exit_code`; the message says what happened, to what, and what to do."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
