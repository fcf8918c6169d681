# METADATA
# title: Tenants and documents
# description: |
#   What a fact says to be another tenant's, or for other readers, is not there for this principal.
#   A fact that failed, is absent, empty or says nothing of whose it is, denies as well.
# schemas:
#   - input: schema.input
# custom:
#   parameters:
#     tenants: By fact, the member that names the tenant; it must be the principal's attribute `tenant` in every row.
#     readers: "By fact, the `member` that names groups or principals who may read, and whether in `every` row or `any`."
#   costs: No holds; it denies.
package broker.rules.tenancy

tightens_only := true

verdicts contains {
	"effect": "DENY",
	"code": "TENANT_OTHER",
	"message": "There is no such thing for this user.",
} if {
	some name, member in data.parameters.tenancy.tenants
	fact := input.facts[name]
	not _own(fact, member)
}

verdicts contains {
	"effect": "DENY",
	"code": "READER_OTHER",
	"message": "There is no such thing for this user.",
} if {
	some name, readers in data.parameters.tenancy.readers
	fact := input.facts[name]
	not _readable(fact, readers.rows, readers.member)
}

_own(fact, member) if {
	tenant := input.principal.attributes.tenant
	is_string(tenant)
	tenant != ""
	rows := _rows(fact)
	count(rows) > 0
	every row in rows { row[member] == tenant }
}

_readable(fact, "every", member) if {
	rows := _rows(fact)
	count(rows) > 0
	every row in rows { _names_me(row[member]) }
}

_readable(fact, "any", member) if {
	some row in _rows(fact)
	_names_me(row[member])
}

_rows(fact) := fact.value if is_array(fact.value)

_rows(fact) := [fact.value] if is_object(fact.value)

_names_me(name) if name in input.principal.groups

_names_me(name) if name == input.principal.id

_names_me(names) if {
	is_array(names)
	some name in names
	name in ({input.principal.id} | {group | some group in input.principal.groups})
}
