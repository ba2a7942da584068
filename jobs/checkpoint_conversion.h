// A model's folder, as `train` leaves it, out of a checkpoint.
#pragma once

#include "jobs/checkpoint_tool.h"
#include "runtime/checkpoint/levels.h"
#include "runtime/comm/comm.h"

namespace tutti {

// Writes the model of the request's generation, or of the newest one whose model verifies, to
// `request.out`. Nothing of the run is changed; an older generation is taken with a warning.
// Collective. Throws on all ranks Error(data) where no generation verifies, or the checkpoint is of
// a job that trains no model, or the tokenizer is not to be found; Error(usage) where `out` holds
// something else than a model.
void convert_checkpoint(Comm& comm, const CheckpointLevels& levels,
                        const CheckpointRequest& request);

}  // namespace tutti
