"""What every store promises of syncing and of care, idea by idea: a store of one's own keeps it as ours do."""

from mirt_sitniks.testing.store_contract.budget import BudgetContract
from mirt_sitniks.testing.store_contract.care import CareContract
from mirt_sitniks.testing.store_contract.claiming import ClaimingContract
from mirt_sitniks.testing.store_contract.clock import ClockContract
from mirt_sitniks.testing.store_contract.given_up import GivenUpContract
from mirt_sitniks.testing.store_contract.hearing import HearingContract
from mirt_sitniks.testing.store_contract.notes import NotesContract
from mirt_sitniks.testing.store_contract.ownership import OwnershipContract
from mirt_sitniks.testing.store_contract.recording import RecordingContract
from mirt_sitniks.testing.store_contract.rota import RotaContract
from mirt_sitniks.testing.store_contract.scanning import ScanningContract
from mirt_sitniks.testing.store_contract.settling import SettlingContract
from mirt_sitniks.testing.store_contract.speaking import SpeakingContract
from mirt_sitniks.testing.store_contract.watch import WatchContract

__all__ = ["StoreContract"]


class StoreContract(
    RecordingContract,
    BudgetContract,
    ClaimingContract,
    SettlingContract,
    GivenUpContract,
    ScanningContract,
    OwnershipContract,
    NotesContract,
    CareContract,
    ClockContract,
    HearingContract,
    RotaContract,
    SpeakingContract,
    WatchContract,
):
    """Each test is one claim. A subclass gives the fixture `world`: an empty store whose clock stands (`world_of`)."""
