"""The cleaning rules by name, in the order in which they are tried, and the reasons for which something is set aside.

Rules of FastChat keep its order: `clean_sharegpt`, `optional_clean`, then `filter_wrong_format` (fschat 0.2.36, fastchat/data; the
rule `rateLimit` is of its later source). Two kinds: an editing rule changes a conversation, a rejecting rule sets it aside whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What a rule does. `edits`: it changes a conversation; otherwise it sets it aside."""

    name: str
    edits: bool
    what: str


RULES = (
    Rule("tooShort", False, "fewer than one question with an answer, or fewer than 16 characters in all"),
    Rule("leadingAnswer", True, "a first message that is not the user's is removed"),
    Rule("trailingQuestion", True, "a last message without an answer is removed"),
    Rule("roles", False, "user and assistant do not take turns"),
    Rule("forbiddenPhrases", False, "a message has one of clean.forbiddenPhrases, in any case"),
    Rule("html", True, "a message in HTML becomes markdown"),
    Rule("codeFences", True, "the words `Copy code` in a code block become the end of the line with its language"),
    Rule("pageNumbers", True, "`2 / 3` of the buttons between answers, at the start of a message, is removed"),
    Rule("copyCounts", True, "`Copy12 chars / 3 words` is removed"),
    Rule("emptyCodeFences", True, "a code block that has nothing but `Copy code` is removed"),
    Rule("blankLines", True, "two blank lines in a row are removed"),
    Rule("rateLimit", False, "an answer is `Too many requests in 1 hour. Try again later.`"),
    Rule(
        "emptyMessage", True, "the conversation ends before its first message that is empty or starts with no printable character"
    ),
    Rule("plugins", False, "the answers came from plugins"),
    Rule("languages", False, "the language, as CLD2 finds it, is not among those of clean.languages"),
    Rule("repetition", False, "a message has the same digit nine times in a row"),
    Rule("restartedList", False, "a numbered list starts again at 1 right after 1"),
    Rule("quality", False, "filters.quality finds nothing to learn from"),
    Rule("safety", False, "filters.safety finds what should not be learned"),
    Rule("duplicateId", False, "an earlier conversation has the same id"),
    Rule("duplicateStart", False, "an earlier conversation begins with the same question and answer"),
    Rule("nearDuplicates", False, "an earlier conversation has nearly the same text"),
)
RULE_NAMES = tuple(rule.name for rule in RULES)

# Reasons that are no rules, and so cannot be switched off.
OTHER_REASONS = {
    "notJson": "the record is not JSON",
    "notConversation": "the record is no object with a list of messages, each with a role and a text",
    "tooLarge": "the record has more than 32 MiB",
    "htmlError": "the HTML of a message cannot be read",
    "longRound": "a question with its answer alone has more than split.maxTokens tokens (split.longRounds: drop), "
    "or its question leaves no room for an answer",
}
