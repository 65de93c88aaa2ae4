"""A phone number as people write it becomes the one that the CRM finds them by."""

try:
    import phonenumbers
except ModuleNotFoundError as missing:
    message = 'orders need phonenumbers, which is not installed: pip install "mirt-sitniks[orders]"'
    raise ModuleNotFoundError(message, name=missing.name) from None

_LONGEST = 250


def phone_of(text: str) -> str | None:
    """The number in international form, digits alone (`380671234567`); None when the text is no number that exists.

    Without a country's code it is Ukrainian, also behind the 8 of the former trunk prefix (`8 067 ...`), which the
    library does not know. A country's code may lack its plus.
    """
    text = text.strip()[:_LONGEST]
    digits = [at for at, sign in enumerate(text) if sign.isdecimal()]
    if len(digits) == 11 and [int(text[at]) for at in digits[:2]] == [8, 0]:
        text = text[digits[1] :]
    return _international(text) or (_international(f"+{text}") if text.isdecimal() else None)


def _international(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, "UA")
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:] if valid else None
