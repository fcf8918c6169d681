"""Every bound of the system, in one place, with its unit in the name.

A bound that an operator may change is a setting whose default is written here; the others are the
floor that keeps one caller from costing the rest. All are inclusive maxima unless named `_min`.
"""

from typing import Final

# What an agent may send (RFC 7493 for the numbers).
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
METADATA_BYTES_MAX: Final = 8 * 1024
ARGUMENTS_BYTES_MAX: Final = 1024 * 1024
JSON_DEPTH_MAX: Final = 32
JSON_NODES_MAX: Final = 10_000
JSON_NUMBER_CHARACTERS_MAX: Final = 40
INTEGER_MAX: Final = 2**53 - 1
REQUEST_ID_CHARACTERS_MAX: Final = 128
NAME_CHARACTERS_MAX: Final = 200
WORDS_BYTES_MAX: Final = 64 * 1024
SCOPES_MAX: Final = 200
MANDATE_SCOPES_MAX: Final = 1_000  # one for each of as many tools as one task may be given

# What a tool may say and how long it may take.
RESULT_BYTES_MAX: Final = 1024 * 1024
TOOL_MESSAGE_CHARACTERS_MAX: Final = 1_000
EVIDENCE_CHARACTERS_MAX: Final = 10_000
TOOL_DEADLINE_S_MAX: Final = 3_600.0

# Files of a session. Those of one call are bounded by what a sandbox takes.
ARTEFACT_BYTES_MAX: Final = 8 * 1024 * 1024
ARTEFACT_CHUNK_BYTES_MAX: Final = 256 * 1024
ARTEFACTS_OF_SESSION_MAX: Final = 256
ARTEFACT_BYTES_OF_SESSION_MAX: Final = 64 * 1024 * 1024
ARTEFACT_RETENTION_S: Final = 86_400.0  # after the session's absolute end
FILE_NAME_CHARACTERS_MAX: Final = 128
FILE_NAME_BYTES_MAX: Final = 255
TRANSFERS_OF_AGENT_MAX: Final = 4
TRANSFERS_UNDER_WAY_MAX: Final = 16  # each may hold a whole file in memory
TRANSFER_DEADLINE_S: Final = 60.0
TRANSFER_CHUNK_DEADLINE_S: Final = 10.0

# What an operator may register.
SCHEMA_BYTES_MAX: Final = 64 * 1024
SCHEMA_DEPTH_MAX: Final = 64
MANIFEST_BYTES_MAX: Final = 256 * 1024
FACTS_MAX: Final = 20
FACT_ROWS_MAX: Final = 1_000
FACT_ITEMS_MAX: Final = 100
EXCLUSIVE_KEYS_MAX: Final = 50
COUNTERS_MAX: Final = 20
TARGETS_MAX: Final = 200  # of one call, that are remembered
STORES_MAX: Final = 50
DIRECTORY_ENTRIES_MAX: Final = 100_000  # of all sources together, as the bytes are
DIRECTORY_BYTES_MAX: Final = 4 * 1024 * 1024
DIRECTORY_FILE_BYTES_MAX: Final = 16 * 1024 * 1024
DIRECTORY_VALUE_CHARACTERS_MAX: Final = 320
DIRECTORY_SOURCES_MAX: Final = 100
SANDBOX_FILES_MAX: Final = 16  # that go in, and that come out, of one call
SANDBOX_FILES_BYTES: Final = 4 * 1024 * 1024
SANDBOX_FILES_BYTES_MAX: Final = 8 * 1024 * 1024  # of one call, each way

# What may be under way at once, so that nobody who asks and hangs up fills the broker.
CALLS_UNDER_WAY_MAX: Final = 4_096
CALLS_OF_SESSION_MAX: Final = 256
CALLS_OF_AGENT_MAX: Final = 1_024
CALLS_OF_PRINCIPAL_MAX: Final = 512
CALLS_OF_AGENT_PER_S: Final = 2_000.0  # beyond what one broker decides: one's own is set lower
CALLS_OF_PRINCIPAL_PER_S: Final = 1_000.0
BYTES_OF_AGENT_PER_S: Final = 16.0 * 1024 * 1024
REFUSED_PAUSE_S: Final = 0.1  # before whoever asked too fast is told so, or has the place again
SAVED_UP_S: Final = 4.0  # of what was not used of a rate
HOLDS_OF_AGENT_MAX: Final = 2_000  # that wait for people
HOLDS_OF_PRINCIPAL_MAX: Final = 200
STREAMS_OF_CREDENTIAL_MAX: Final = 128
CALL_PLACE_S: Final = 20.0  # for a place to be decided in
LATE_ANSWERS_MAX: Final = 8  # kept as evidence of one call
PERMITS_OF_SESSION_MAX: Final = 64  # that its agent's own processes execute
PERMITS_OF_AGENT_MAX: Final = 1_024  # likewise, of all its sessions

# Waiting. Every await that leaves the process has one of these, or a manifest's own, smaller one.
FACT_DEADLINE_S: Final = 0.5
FACT_DEADLINE_S_MAX: Final = 10.0
PREVIEW_DEADLINE_S: Final = 2.0
PREVIEW_DEADLINE_S_MAX: Final = 10.0  # whoever asked for the call waits meanwhile
PREVIEW_PLACE_WAIT_S: Final = 0.5  # for a place at a worker
PREVIEW_RETRY_S: Final = 10.0  # of an approved call whose preview cannot be asked
POLICY_DEADLINE_S: Final = 4.0  # two hundred at once on two processors while another policy starts
POLICY_READY_S: Final = 20.0
EXPLANATION_DEADLINE_S: Final = 45.0
STORE_DEADLINE_S: Final = 10.0
OUTCOME_PATIENCE_S: Final = 10.0  # then whoever waits hears that an outcome is not recorded yet
EXCLUSIVE_WAIT_S: Final = 15.0
HOLD_WAIT_S_MAX: Final = 60.0
RECORD_ATTEMPTS_MAX: Final = 3
RECORD_TURNS_MAX: Final = 20  # where only another broker's call had the key or counter first
ATTEMPTS_MAX: Final = 3  # of one call to have its effect, where it is declared idempotent
ATTEMPT_WAIT_S: Final = 60.0  # for a worker that an interrupted call is handed to once more
LEASE_S: Final = 30.0  # a call is its owner's for so long, and again before that is over
PERMIT_TAKE_S: Final = 15.0  # for an agent's process to take the permit that it waited for
PERMIT_RETRY_S: Final = 3.0  # of an approved call that no process of the agent's waits to execute
WRITE_DEADLINE_S: Final = 60.0  # for a reader to take the next message of a stream
CREDENTIAL_RECHECK_S: Final = 3.0
CREDENTIAL_USE_S: Final = 60.0  # so coarsely it is known when a credential was last used

# Issuers of access tokens.
ISSUER_DEADLINE_S: Final = 5.0
ISSUER_KEYS_EVERY_S: Final = 300.0
ISSUER_KEYS_PAUSE_S: Final = 60.0  # however many tokens name a key that is not there
ISSUER_KEYS_LIFE_S: Final = 3_600.0  # while the issuer is away
VERIFIED_TOKENS_S: Final = 60.0
VERIFIED_TOKENS_MAX: Final = 10_000

# The store's writer: how much company one transaction has, and how long it waits for the file.
STORE_BUSY_S: Final = 2.0
STORE_GROUP_UNITS_MAX: Final = 64
STORE_QUEUE_UNITS_MAX: Final = 4_096
STORE_READERS: Final = 2
STORE_RESERVE_BYTES: Final = 2 * 1024 * 1024  # of disk, kept back for how calls end
# Of a database that is a server: what it ends by itself, and how long its answer is looked for.
STORE_READERS_REMOTE: Final = 8
STORE_CONNECT_S: Final = 3.0
STORE_IDLE_S: Final = 5.0  # within a transaction, which holds what others wait for
STORE_READ_BACK_S: Final = 7.0  # whether a commit happened that nobody acknowledged

# Lives.
SESSION_IDLE_S: Final = 1_800.0
SESSION_LIFE_S_MAX: Final = 86_400.0
MANDATE_REDEEM_S: Final = 900.0
SESSION_ANCESTORS_MAX: Final = 8
HOLD_DECIDE_WITHIN_S: Final = 14_400
HOLD_RUN_WITHIN_S: Final = 3_600
HOLD_WITHIN_S_MAX: Final = 30 * 86_400
CREDENTIAL_LIFE_S: Final = 90 * 86_400.0
CREDENTIAL_EXPIRING_S: Final = 14 * 86_400.0  # one that ends within this is told of
OBSERVATION_LIFE_S_MAX: Final = 30 * 86_400.0

# What a session may be refused in a window before its further calls wait for a person.
DENIALS_MAX: Final = 30
DENIALS_WINDOW_S: Final = 600.0
DENIALS_KEPT_MAX: Final = 200  # of a session: the newest, and the most that may be allowed

# Audit.
CHECKPOINT_ENTRIES_MAX: Final = 100
CHECKPOINT_INTERVAL_S: Final = 60.0

# What is erased: so often it is looked for, so much at a time, so that no decision waits for it.
ERASING_INTERVAL_S: Final = 600.0
ERASING_PAGE: Final = 100
ERASING_CALLS: Final = 20

# A policy that is asked beside the one in force. What does not fit is counted and left out.
SHADOW_QUEUE_MAX: Final = 100
SHADOW_DEADLINE_S: Final = 1.0
SHADOW_WRITE_INTERVAL_S: Final = 5.0  # so much of what was counted a crash may cost
SHADOW_EXAMPLES_MAX: Final = 10
SHADOW_CODES_MAX: Final = 10

# Pages.
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 500
