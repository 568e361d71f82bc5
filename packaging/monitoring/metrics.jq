# Metrics for the textfile collector of node_exporter, from `vmtune status --json`:
#
#     vmtune status --json | jq --raw-output --from-file metrics.jq
#
# What could not be read (a mistake in vmtune.yaml) is exit code 1, without entries. The exposition
# format allows a series once only, and backslash, quote and line break only escaped.

def escaped: gsub("\\\\"; "\\\\") | gsub("\""; "\\\"") | gsub("\n"; "\\n");

def states: {
  "=": "in_sync", "+": "to_create", "~": "to_update", "-": "to_delete",
  "!": "refused", "?": "unknown", "R": "waits_for_reboot"
};

def family(name; help): "# HELP \(name) \(help)", "# TYPE \(name) gauge";

def failed: .result | IN("", "success", "running", "skipped", "exec-condition") | not;

(.changes // []) as $changes | (.effect.schedules // []) as $schedules |

family("vmtune_status_exit_code"; "Exit code of vmtune status: 0 as declared, 2 differs, 7 refused."),
"vmtune_status_exit_code \(.exit // 1)",

family("vmtune_status_time_seconds"; "When vmtune status was asked, in seconds since 1970."),
"vmtune_status_time_seconds \(now | floor)",

family("vmtune_entries"; "How many entries are in a state."),
(states[] as $state |
  "vmtune_entries{state=\"\($state)\"} \([$changes[] | select(states[.op] == $state)] | length)"),

family("vmtune_entry"; "1 for the state that an entry is in."),
([$changes[] |
  "vmtune_entry{kind=\"\(.kind | escaped)\",name=\"\(.name | escaped)\",state=\"\(states[.op])\"} 1"]
  | unique[]),

family("vmtune_schedule_last_run_failed"; "1 where the last run of a schedule failed."),
([$schedules[] | select(.result != "") |
  "vmtune_schedule_last_run_failed{name=\"\(.name | escaped)\"} \(if failed then 1 else 0 end)"]
  | unique[]),

family("vmtune_schedule_last_run_seconds"; "How long the last run of a schedule took."),
([$schedules[] | select(.seconds != null) |
  "vmtune_schedule_last_run_seconds{name=\"\(.name | escaped)\"} \(.seconds)"]
  | unique_by(split("} ")[0])[])
