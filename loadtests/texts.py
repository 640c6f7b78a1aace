"""Texts of the load tests, written for them alone: no model has seen them in training.

A text is drawn from parts, so that hundreds of different ones are sent and none is answered from
any memory; lengths vary as they do in a chat, from a few words to a paragraph.
"""

import random
from dataclasses import dataclass

OPENERS = (
    "",
    "Hi there! ",
    "Good evening, ",
    "Sorry to bother you again. ",
    "hey ",
    "Quick one: ",
    "I hope someone can look into this. ",
    "Third time I write, so please read carefully. ",
)

MESSAGES = (
    "the kettle stopped heating after two days and now only blinks red",
    "where has parcel {number} got to? The map has shown the same depot since {day}",
    "please move my delivery in {place} to {day}, nobody will be at home before that",
    "I was charged twice for the {thing} and my bank says both bookings are final",
    "can the {thing} be sent to {place}, and what would that cost me",
    "my sister {person} should be able to open the account too, how do I add her",
    "the app signs me out every time I put it in the background",
    "how long do I have to bring back a {thing} that was a present",
    "{person} from your team promised a call on {day} and nobody rang",
    "I need a bill with the name of our company, {firm}, on it",
    "is the {thing} coming back in green before {day}",
    "cancel {number} please, I found one in a shop in {place}",
    "that was quick, the {thing} fits and {person} was very kind on the phone",
    "the lid of the {thing} arrived cracked, photos are attached",
    "which of your shops around {place} is open on a Sunday",
    "I would rather talk to a human being about order {number}",
    "do students at {firm} get anything off the yearly plan",
    "your site tells me that my new card is too old, which makes no sense",
    "I typed the wrong house number for {number}, can that still be changed",
    "thanks, that is all for today",
    "what is the difference between the {thing} and the one you sold last year",
    "please stop the monthly plan at the end of the period, we are moving to {place}",
    "the courier left the {thing} in the rain and the box is soaked through",
    "do you know whether it will snow in {place} on {day}",
)

ENDINGS = (
    "",
    ".",
    "!",
    "?",
    ". Thanks a lot.",
    ". I have been a customer for nine years and this is new to me.",
    ". My order is {number}.",
    ", please answer before {day} because I am away from then on.",
)

THINGS = (
    "Arvo desk lamp",
    "Nimbus rain jacket",
    "copper kettle",
    "Tern folding bike",
    "Solis e-reader",
    "walnut chair",
    "Pico projector",
    "sourdough basket",
    "Larch snow boots",
    "Echo Bay tent",
)
PLACES = ("Utrecht", "Gdańsk", "Porto", "Leeds", "Bergen", "Graz", "Montréal", "Kyoto", "Tampere")
PEOPLE = ("Ingrid Solberg", "Mateus Faria", "Aoife Brennan", "Kenji Mori", "Salma Haddad", "Piotr")
FIRMS = ("Harbour Analytics", "Brennan & Daughters", "Nordlys Energi", "Kestrel Labs", "Vasari srl")
DAYS = ("Thursday", "12 March", "the 3rd of May", "tomorrow evening", "2 p.m. on Friday", "Easter")

POLICIES = (
    "Returns. Goods bought in the web shop may be sent back within 45 days of delivery. Shoes"
    " and jackets must be unworn. A refund is paid to the card that was used, usually three"
    " working days after the parcel has reached our depot in Venlo. Return labels for heavy"
    " goods cost 7.50 euros.",
    "Delivery. Orders that are placed before 16:00 leave the house on the same day. Within"
    " the Netherlands a parcel takes one working day, to Portugal four. Delivery is free from"
    " 60 euros; below that we ask for 4.95 euros. The courier tries twice and then leaves the"
    " parcel in a shop nearby, where it is kept for eight days.",
    "Guarantee. The Solis e-reader carries a guarantee of three years. It covers the display,"
    " the battery and the case, but not damage by water. To use it, send the serial number and"
    " a copy of the bill to the workshop in Aarhus. A repair takes ten days on average, and"
    " you get a device on loan for that time.",
    "Membership. A year of Tern Club costs 29 euros and renews itself each January. Members"
    " get the spring catalogue a week early, and five percent off bikes. Membership can be"
    " ended at any time in the account, under Plans; the rest of the year is not paid back.",
    "Opening hours. The shop in Leeds opens at half past nine from Monday to Saturday and"
    " closes at seven in the evening. The workshop behind it takes bikes until four. On bank"
    " holidays both stay shut, except on the first Monday of May, when the shop is open from"
    " noon.",
)

QUESTIONS = (
    ("For how many days after delivery may shoes go back?", 0),
    ("In which town is the depot that my return goes to?", 0),
    ("What do you ask for the label of a heavy return?", 0),
    ("Until which hour must I order so that it leaves today?", 1),
    ("How many days does a parcel travel to Portugal?", 1),
    ("From how many euros on do I pay nothing for the courier?", 1),
    ("For how long does the shop nearby keep my parcel?", 1),
    ("Which damage to the e-reader is not covered?", 2),
    ("To which city do I send the serial number and the bill?", 2),
    ("How long is an e-reader in the workshop on average?", 2),
    ("What does a year of Tern Club cost?", 3),
    ("In which month does Tern Club renew itself?", 3),
    ("Under which heading of the account can I leave the club?", 3),
    ("At what time does the shop in Leeds open?", 4),
    ("Until when does the Leeds workshop take bikes?", 4),
)

VERDICTS = (
    "sturdier than it looks",
    "too small for two people",
    "would buy again",
    "broke in the first week",
    "my kids fight over it",
    "colour is nothing like the picture",
    "pays for itself by spring",
    "instructions only in Finnish",
    "arrived late but is lovely",
    "does what it says",
    "heavy, yet very quiet",
    "sent it back the same day",
    "ideal for a rainy commute",
    "zipper catches now and then",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one customer says, and a question about a policy page."""

    message: str
    question: str
    policy: str


def turn(dice: random.Random) -> Turn:
    """One chatbot turn, drawn with ``dice``."""
    question, page = dice.choice(QUESTIONS)
    return Turn(message(dice), question, POLICIES[page])


def message(dice: random.Random) -> str:
    """A customer's message: 4 to about 40 words."""
    text = dice.choice(OPENERS) + dice.choice(MESSAGES) + dice.choice(ENDINGS)
    return text.format(
        number=dice.randrange(100_000, 999_999),
        thing=dice.choice(THINGS),
        place=dice.choice(PLACES),
        person=dice.choice(PEOPLE),
        firm=dice.choice(FIRMS),
        day=dice.choice(DAYS),
    )


def reviews(dice: random.Random, count: int) -> list[str]:
    """Short texts as a recommender scores them: a product and a verdict, 4 to about 12 words."""
    return [
        f"{dice.choice(THINGS)}, {dice.randint(1, 5)} of 5: {dice.choice(VERDICTS)}"
        for _ in range(count)
    ]
