"""The contract that hosts run on stores of their own, too: it stands in the package."""

from mirt_sitniks.testing.store_contract import StoreContract as Contract
from mirt_sitniks.testing.store_contract.verbs import own, scan_page, settlement

__all__ = ["Contract", "own", "scan_page", "settlement"]
