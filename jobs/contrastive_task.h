// Training a text encoder on the documents of a dataset.
#pragma once

#include <memory>

#include "jobs/contrastive_step.h"
#include "jobs/encoder_model.h"
#include "jobs/train_config.h"
#include "jobs/train_task.h"
#include "runtime/data/pair_loader.h"

namespace tutti {

// Throws Error(usage) on all ranks where the dataset has fewer documents than a batch needs.
// Dataset and configuration outlive the task.
std::unique_ptr<TrainTask> make_contrastive_task(Comm& comm, const TrainConfig& config,
                                                 const Dataset& dataset, DType compute,
                                                 PhaseTimer& phases);

}  // namespace tutti
