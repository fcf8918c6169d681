-- The shop's own database: the system of record that decisions are made on. The broker opens it
-- read-only; only the worker writes. Money is in minor units (cents), instants are RFC 3339, UTC.

CREATE TABLE customers (
  id    TEXT PRIMARY KEY,
  mail  TEXT NOT NULL UNIQUE,
  since TEXT NOT NULL
) STRICT;

CREATE TABLE addresses (
  customer_id TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  address     TEXT NOT NULL,
  PRIMARY KEY (customer_id, address)
) STRICT;

CREATE TABLE orders (
  id          TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('placed', 'shipped', 'delivered', 'cancelled')),
  address     TEXT NOT NULL,
  placed_at   TEXT NOT NULL
) STRICT;

CREATE TABLE order_items (
  order_id    TEXT NOT NULL REFERENCES orders (id),
  position    INTEGER NOT NULL,
  title       TEXT NOT NULL,
  quantity    INTEGER NOT NULL CHECK (quantity > 0),
  price_minor INTEGER NOT NULL CHECK (price_minor >= 0),
  PRIMARY KEY (order_id, position)
) STRICT;

CREATE TABLE payments (
  order_id       TEXT PRIMARY KEY REFERENCES orders (id),
  method         TEXT NOT NULL,
  currency       TEXT NOT NULL CHECK (currency IN ('EUR', 'USD')),
  captured_minor INTEGER NOT NULL CHECK (captured_minor >= 0)
) STRICT;

-- Deliberately without a trigger against refunding too much: here the broker's rule is what stops it.
CREATE TABLE refunds (
  id           TEXT PRIMARY KEY,
  invocation   TEXT NOT NULL UNIQUE,
  order_id     TEXT NOT NULL REFERENCES orders (id),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  reason       TEXT NOT NULL
) STRICT;

CREATE TABLE mails (
  id          TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL,
  sender      TEXT NOT NULL,
  subject     TEXT NOT NULL,
  body        TEXT NOT NULL
) STRICT;

CREATE TABLE sent_mails (
  invocation TEXT PRIMARY KEY,
  recipients TEXT NOT NULL,
  subject    TEXT NOT NULL,
  body       TEXT NOT NULL
) STRICT;

-- Whom the shop itself writes to: its warehouse, its carriers.
CREATE TABLE contacts (
  mail  TEXT PRIMARY KEY,
  about TEXT NOT NULL
) STRICT;

CREATE TABLE articles (
  id    TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  body  TEXT NOT NULL
) STRICT;

-- Who may read an article, by group. An article without a row here is nobody's to read.
CREATE TABLE article_readers (
  article_id TEXT NOT NULL REFERENCES articles (id),
  reader      TEXT NOT NULL,
  PRIMARY KEY (article_id, reader)
) STRICT;
