-- A VM's row. "vm" is the whole VM as JSON and is the truth; the columns beside it exist to be searched.
CREATE TABLE vms (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT UNIQUE,
    key TEXT UNIQUE,
    owner TEXT,
    driver TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    vm TEXT NOT NULL,
    labels TEXT NOT NULL, -- a JSON list of the texts that belong in vm_labels
    handle TEXT,
    pending TEXT
);

CREATE INDEX vms_in_order ON vms (created_at, id);

CREATE TABLE vm_labels (
    label TEXT NOT NULL,
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    PRIMARY KEY (label, vm_id)
) WITHOUT ROWID;

CREATE INDEX vm_labels_by_vm ON vm_labels (vm_id);

-- Triggers make each write of a VM one statement, which is one transaction and one trip to the connection's thread.

CREATE TRIGGER vms_id_is_free BEFORE INSERT ON vms
WHEN EXISTS (SELECT 1 FROM vms WHERE id = NEW.id UNION ALL SELECT 1 FROM vms WHERE name = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'taken: id');
END;

CREATE TRIGGER vms_name_is_free BEFORE INSERT ON vms
WHEN EXISTS (SELECT 1 FROM vms WHERE id = NEW.name UNION ALL SELECT 1 FROM vms WHERE name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'taken: name');
END;

CREATE TRIGGER vms_new_name_is_free BEFORE UPDATE OF name ON vms
WHEN NEW.name IS NOT OLD.name AND EXISTS (
    SELECT 1 FROM vms WHERE id = NEW.name AND id <> NEW.id UNION ALL SELECT 1 FROM vms WHERE name = NEW.name
)
BEGIN
    SELECT RAISE(ABORT, 'taken: name');
END;

CREATE TRIGGER vms_labelled AFTER INSERT ON vms
BEGIN
    INSERT INTO vm_labels (label, vm_id) SELECT value, NEW.id FROM json_each(NEW.labels);
END;

CREATE TRIGGER vms_relabelled AFTER UPDATE OF labels ON vms
WHEN NEW.labels <> OLD.labels
BEGIN
    DELETE FROM vm_labels WHERE vm_id = NEW.id;
    INSERT INTO vm_labels (label, vm_id) SELECT value, NEW.id FROM json_each(NEW.labels);
END;
