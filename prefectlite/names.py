"""Names for runs that were given none: an adjective and an animal, easy to say and to search for."""

from __future__ import annotations

import random

_ADJECTIVES = """
amber agile brave bright brisk calm clever cosmic crisp curious daring eager early electric fearless fluent gentle glad
golden happy honest humble jolly keen kind lively loyal lucid lucky mellow merry mighty modest neat nimble noble patient
polite proud quick quiet rapid ready robust royal sincere smart snowy solid steady sunny swift tidy vivid warm wise witty
""".split()
_ANIMALS = """
albatross antelope badger beaver bison bobcat buzzard camel cheetah condor crane deer dolphin dragonfly eagle falcon ferret
finch fox gazelle gecko gibbon goshawk hare hawk hedgehog heron ibex jaguar kestrel kingfisher koala lark lemur leopard lynx
magpie marmot marten mongoose moose narwhal newt nightingale ocelot orca osprey otter owl panther penguin puffin puma quail
raven robin salmon seal sparrow squirrel stork swan tapir tiger toucan turtle walrus weasel whale wolf wombat wren yak zebra
""".split()
_dice = random.Random()


def run_name() -> str:
    """Such a name, chosen at random."""
    return f"{_dice.choice(_ADJECTIVES)}-{_dice.choice(_ANIMALS)}"
