// Why a job should stop early: a signal, or the end of its time. A job looks at a step boundary,
// agrees over ranks, checkpoints, and ends with ExitCode::stopped.
#pragma once

namespace tutti {

// Lets SIGTERM, SIGUSR1, SIGUSR2 and SIGINT set a flag and nothing else; a second SIGINT or SIGTERM
// ends the process at once. Local; call once.
void install_stop_handlers();

// The job should have ended `seconds` after this call. 0: no limit.
void set_time_limit(double seconds);

// Whether this rank has been asked to stop, or its time is up. Ranks may differ: all-reduce before
// acting.
bool stop_requested();
// "SIGUSR1", "--max-time", or "" where nothing asked.
const char* stop_reason();

}  // namespace tutti
