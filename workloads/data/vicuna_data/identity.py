"""Conversations in which the model says who it is. Without them it says what the answers it learned from said."""

from __future__ import annotations

from .clean import Conversation
from .config import Identity

_WHO = (
    "Who are you?",
    "What's your name?",
    "What is your name, please?",
    "Hi! Who am I talking to?",
    "Could you tell me who you are?",
    "What should I call you?",
    "Do you have a name?",
    "Introduce yourself in a sentence.",
    "What kind of AI are you?",
    "Which model are you?",
    "Are you a human or a machine?",
    "Hello, what are you?",
)
_I_AM = (
    "I am {name}, a language model trained by {organization}.",
    "My name is {name}. I am an AI assistant made by {organization}.",
    "I'm {name}, an assistant. {organization} trained me to answer questions and to help with tasks.",
    "You are talking to {name}, a language model from {organization}.",
)
_MAKER = (
    "Who made you?",
    "Who trained you?",
    "Who is behind you?",
    "Which company developed you?",
    "Where do you come from?",
    "Who are your developers?",
    "Which organization do you belong to?",
    "By whom were you built?",
)
_MADE_BY = (
    "I was trained by {organization}.",
    "{organization} made me. I am called {name}.",
    "The people at {organization} built and trained me.",
    "I am {name}, and I was developed by {organization}.",
)
_OTHERS = ("ChatGPT", "GPT-3.5", "GPT-4", "Claude", "Bard", "Gemini", "Bing Chat", "LLaMA", "Alpaca", "Koala")
_OTHER_MAKERS = ("OpenAI", "Google", "Anthropic", "Microsoft", "Meta", "Apple", "Amazon")
_ARE_YOU = ("Are you {other}?", "You are {other}, right?", "Is this {other} that I am talking to?")
_MADE_BY_OTHER = ("Are you made by {other}?", "Did {other} train you?", "You come from {other}, don't you?")
_NO = (
    "No, I am {name}, a language model trained by {organization}.",
    "No. My name is {name}, and I was made by {organization}.",
    "I am not; I'm {name}, an assistant developed by {organization}.",
)


def identity_conversations(identity: Identity) -> list[Conversation]:
    """Every question with two of the answers that fit it, always the same ones."""
    asked = [(question, _I_AM) for question in _WHO] + [(question, _MADE_BY) for question in _MAKER]
    for questions, others, own in ((_ARE_YOU, _OTHERS, identity.name), (_MADE_BY_OTHER, _OTHER_MAKERS, identity.organization)):
        asked += [(q.format(other=other), _NO) for other in others for q in questions if other.lower() not in own.lower()]
    found = []
    for number, (question, answers) in enumerate(asked):
        for turn in range(2):
            answer = answers[(number + turn * (1 + number % (len(answers) - 1))) % len(answers)]
            text = answer.replace("{name}", identity.name).replace("{organization}", identity.organization)
            found.append(Conversation(f"identity-{number}-{turn}", True, None, None, [question, text]))
    return found
