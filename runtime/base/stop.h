// What a job is asked from outside: to stop early, by a signal or by the end of its time, or to
// leave a checkpoint and go on. A job looks at a step boundary and agrees over ranks; one that
// stops checkpoints and ends with ExitCode::stopped.
#pragma once

namespace tutti {

// Lets SIGTERM, SIGUSR2 and SIGINT ask for a stop and SIGUSR1 for a checkpoint: they set a flag and
// nothing else. A second SIGINT or SIGTERM ends the process at once. Local; call once.
void install_stop_handlers();

// The job should have ended `seconds` after this call. 0: no limit.
void set_time_limit(double seconds);

// Whether this rank has been asked to stop, or its time is up. Ranks may differ: all-reduce before
// acting.
bool stop_requested();
// "SIGUSR2", "--max-time", or "" where nothing asked.
const char* stop_reason();

// Whether this rank got SIGUSR1 since the last call.
bool take_checkpoint_request();

}  // namespace tutti
