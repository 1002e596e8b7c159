"""Lays the answers of three hosts to one survey side by side, field by field.

    answers.py LIST.json IDEVICEBACKUP2 PYMOBILEDEVICE3 RUSSET    (journals of the scripted phone)
    answers.py --write LIST.json …                                 (a new list; reasons of known differences are kept)

A difference that the list does not have fails, as does one in the list that no longer occurs: whoever changes an answer sees it in
review. A host that was not asked a question has no part in it.
"""

import json
import re
import sys

HOSTS = ["idevicebackup2", "pymobiledevice3", "russet"]


def listed(entry):
    """One name of a listing in one line. The length of a directory's own entry is its disk's."""
    if entry["DLFileType"].endswith("Directory") and isinstance(entry.get("DLFileSize"), int):
        entry = {**entry, "DLFileSize": "a number"}
    return ", ".join(f"{key}: {value}" for key, value in sorted(entry.items()))


def flat(value, path=""):
    """Leaves by their path."""
    if isinstance(value, dict) and "DLFileType" in value:
        yield path, listed(value)
    elif isinstance(value, dict):
        if not value:
            yield path, "an empty dictionary"
        for key, each in value.items():
            yield from flat(each, f"{path}/{key}" if path else key)
    else:
        yield path, value


def answers(journal):
    udid = None
    found = {}
    with open(journal, encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if event["event"] == "violation":
                sys.exit(f"{journal}: {line}")
            if event["event"] != "survey":
                # The phone's own name in paths says nothing.
                udid = udid or next(iter(re.findall(r"[0-9]{8}-[0-9A-F]{16}", line)), None)
                continue
            text = json.dumps(event["detail"]["answer"]).replace(udid, "UDID")
            found[event["detail"]["question"]] = dict(flat(json.loads(text)))
    if len(found) < 30:
        sys.exit(f"{journal}: only {len(found)} answers")
    return found


def value_of(question, path, fields):
    if path not in fields:
        return "nothing"
    value = fields[path]
    # Of the host's disk: only that there is a number can be compared.
    if question == "free space" and path == "value" and isinstance(value, int) and value >= 0:
        return "a number"
    return value


def differences(journals):
    by_host = dict(zip(HOSTS, map(answers, journals)))
    compared = 0
    for question in by_host["russet"]:
        asked = {host: found[question] for host, found in by_host.items() if question in found}
        for path in sorted({path for fields in asked.values() for path in fields}):
            compared += 1
            values = {host: value_of(question, path, fields) for host, fields in asked.items()}
            if any(value != values["russet"] for value in values.values()):
                yield question, path, values
    for host, found in by_host.items():
        unknown = found.keys() - by_host["russet"].keys()
        if unknown:
            sys.exit(f"{host} was asked what russet was not: {unknown}")
    print(f"  {compared} fields of {len(by_host['russet'])} answers were compared")


def grouped(found):
    """Differences of equal values in one field are one entry, whatever the questions."""
    groups = {}
    for question, path, values in found:
        key = json.dumps([path, values], sort_keys=True)
        groups.setdefault(key, {"field": path, **values, "questions": []})["questions"].append(question)
    return list(groups.values())


def main(arguments):
    writes = arguments[0] == "--write"
    path, *journals = arguments[writes:]
    found = grouped(differences(journals))
    try:
        with open(path, encoding="utf-8") as file:
            listed = json.load(file)
    except FileNotFoundError:
        listed = []
    bare = [{key: value for key, value in entry.items() if key != "reason"} for entry in listed]
    if writes:
        reasons = {json.dumps(each, sort_keys=True): entry["reason"] for each, entry in zip(bare, listed)}
        for entry in found:
            entry["reason"] = reasons.get(json.dumps(entry, sort_keys=True), "")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1, ensure_ascii=False)
            file.write("\n")
        return 0
    wrong = [f"not in the list: {json.dumps(entry)}" for entry in found if entry not in bare]
    wrong += [f"does not occur any more: {json.dumps(entry)}" for entry in bare if entry not in found]
    wrong += [f"has no reason: {json.dumps(entry)}" for entry in listed if not entry.get("reason")]
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"  {len(found)} differences, all of them in the list with their reasons")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
