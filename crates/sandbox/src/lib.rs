//! Strangers' Python in processes that can do no harm: layers, limits, workers, pools.
//! Knows sources, arguments and time-outs; knows no task and no score.
