/* Lets a test that links tutti_fault_io choose which file operation fails; see fault_io.c. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* "pwrite:12:ENOSPC:shard-"; NULL: none. Starts counting anew. */
void tutti_fault_set(const char* what);
/* Whether the chosen call has been met since it was set. */
int tutti_fault_fired(void);

#ifdef __cplusplus
}
#endif
