"""Which endpoint a request goes to."""

from . import api, order_api
from .account import Account
from .request import Answer, Refused, Request, refuse


def answer(account: Account, request: Request) -> Answer:
    """Do what the request asks, as far as the contract has it, and answer; the caller holds the account's lock.

    The key, the trial plan, the limit and the faults are looked after before.
    """
    account.world.catch_up()
    for kind, method, pattern, handle in (*api.ROUTES, *order_api.ROUTES):
        if method == request.method and pattern.fullmatch(request.path):
            try:
                api.check_right(account, request, kind)
                return handle(account, request)
            except Refused as refused:
                return refused.answer
    return refuse(request, 404)
