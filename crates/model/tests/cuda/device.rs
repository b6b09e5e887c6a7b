//! What a device does: memory, kernels, graphs.

use half::bf16;
use model::ModelError;
use model::args;
use model::cuda::{Address, Device, Product, Program, Recorder, Side, Source};

use crate::emulated::{again, cubins, emulated, folder, inside};
use crate::products::narrow;

const PROBE: Source = Source {
    name: "probe.cu",
    text: include_str!("probe.cu"),
};

pub(crate) fn open() -> Device {
    Device::open(0, &cubins()).unwrap()
}

fn probe(device: &Device) -> Program {
    device.program(PROBE, &[("OFFSET", 1)]).unwrap()
}

#[test]
fn a_device_says_what_it_is() {
    emulated(&[], || {
        let device = open();
        assert_eq!(
            (device.name(), device.capability()),
            ("Emulated GPU", (9, 0))
        );
        assert_eq!(
            (device.multiprocessors(), device.shared_memory()),
            (4, 227 << 10)
        );
        assert_eq!(
            device.describe().unwrap(),
            "Emulated GPU, compute capability 9.0, 4.0 GiB of memory of which 4.0 are free, driver \
             for CUDA 12.4"
        );
    });
}

#[test]
fn what_is_written_comes_back() {
    emulated(&[], || {
        let device = open();
        let x = device
            .upload("activations", &[1.5_f32, -2.0, 3.25])
            .unwrap();
        assert_eq!(x.download().unwrap(), [1.5, -2.0, 3.25]);
        x.write(1, &[7.0]).unwrap();
        assert_eq!(x.download_part(1, 2).unwrap(), [7.0, 3.25]);
        let y = device.zeros("activations", 4).unwrap();
        y.copy(2, &x, 0, 2).unwrap();
        assert_eq!(y.download().unwrap(), [0.0, 0.0, 1.5, 7.0]);
        y.clear().unwrap();
        assert_eq!(y.download().unwrap(), [0.0; 4]);
        let ids = device.upload("activations", &[-1_i32, 2]).unwrap();
        assert_eq!(ids.download().unwrap(), [-1, 2]);
        let none = device.upload::<bf16>("activations", &[]).unwrap();
        assert_eq!((none.len(), none.download().unwrap().len()), (0, 0));
    });
}

#[test]
fn freed_memory_is_taken_again() {
    emulated(&[], || {
        let device = open();
        let free = |device: &Device| device.memory().unwrap().0;
        drop(device.zeros::<f32>("activations", 1 << 20).unwrap());
        let before = free(&device);
        for len in [1 << 20, (1 << 20) - 5000, 1 << 19] {
            let array = device.uninitialised::<f32>("activations", len).unwrap();
            let values = array.download().unwrap();
            assert!(values.iter().all(|x| x.is_nan()), "nothing of before");
            assert_eq!(free(&device), before);
        }
        for (label, len) in [("activations", 1 << 18), ("cache", 1 << 19)] {
            let before = free(&device);
            drop(device.zeros::<f32>(label, len).unwrap());
            assert!(
                free(&device) < before,
                "{label} do not take a place that is far too large"
            );
        }
    });
}

#[test]
fn the_most_memory_at_a_time_is_known() {
    emulated(&[], || {
        let device = open();
        let before = device.peak();
        let kept = device.zeros::<f32>("weights", 1 << 18).unwrap();
        drop(device.zeros::<f32>("activations", 1 << 19).unwrap());
        drop(device.zeros::<f32>("activations", 1 << 18).unwrap());
        assert_eq!(device.peak() - before, (1 << 20) + (1 << 21));
        device.forget_peak();
        assert_eq!(device.peak() - before, 1 << 20);
        drop(kept);
        assert_eq!(device.peak() - before, 1 << 20);
    });
}

#[test]
fn a_kernel_gets_what_it_is_given() {
    emulated(&[], || {
        let device = open();
        let program = probe(&device);
        let x = device
            .upload("activations", &[1.0_f32, 2.0, 3.0, 4.0])
            .unwrap();
        let out = device.zeros::<f32>("activations", 5).unwrap();
        program
            .launch("scale_all", 2, 2, 0, args![out.at(1), &x, 3, 10.0_f32])
            .unwrap();
        assert_eq!(out.download().unwrap(), [0.0, 11.0, 21.0, 31.0, 0.0]);
        program
            .launch("scale_all", 0, 2, 0, args![&out, &x, 3, 0.0_f32])
            .unwrap();
        assert_eq!(
            out.download().unwrap()[1],
            11.0,
            "a grid of no blocks runs nothing"
        );

        let large = 3_i64 << 40;
        let out = device.zeros::<f64>("activations", 5).unwrap();
        let x = device
            .upload("activations", &[bf16::from_f32(0.5)])
            .unwrap();
        let n = device.upload("activations", &[4_000_000_000_u32]).unwrap();
        let exact = 0.1_f64;
        program
            .launch(
                "kinds",
                1,
                1,
                0,
                args![&out, &x, &n, Address::NONE, large, exact],
            )
            .unwrap();
        assert_eq!(
            out.download().unwrap(),
            [0.5, 4e9, 1.0, large as f64, exact]
        );
    });
}

#[test]
fn blocks_are_in_their_place_and_have_the_shared_memory_asked_for() {
    emulated(&[], || {
        let device = open();
        let program = probe(&device);
        let out = device.zeros::<i32>("activations", 6).unwrap();
        for bytes in [128, 48 << 10, (48 << 10) + 16, 227 << 10] {
            out.clear().unwrap();
            program
                .launch("places", (3, 2), 64, bytes, args![&out, bytes])
                .unwrap();
            assert_eq!(out.download().unwrap(), [0, 1, 2, 1000, 1001, 1002]);
        }
        let bytes = (227 << 10) + 16;
        let error = program
            .launch("places", (3, 2), 64, bytes, args![&out, bytes])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("launch `places` with 3x2 blocks of 64 threads"),
            "{error}"
        );
        let error = program
            .launch("places", 1, 2048, 0, args![&out, 4])
            .unwrap_err();
        assert!(
            error.to_string().contains("CUDA_ERROR_INVALID_VALUE"),
            "{error}"
        );
    });
}

#[test]
fn arguments_that_are_not_the_kernels_are_refused() {
    emulated(&[], || {
        let device = open();
        let program = probe(&device);
        let floats = device.zeros::<f32>("activations", 4).unwrap();
        let ints = device.zeros::<i32>("activations", 4).unwrap();
        let refused = |args: &[model::cuda::Arg]| {
            let launch = || program.launch("scale_all", 1, 4, 0, args);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(launch)).is_err()
        };
        assert!(!refused(args![&floats, &floats, 4, 1.0_f32]));
        assert!(refused(args![&floats, &floats, 4]), "one is missing");
        assert!(
            refused(args![&floats, &ints, 4, 1.0_f32]),
            "of another type"
        );
        assert!(
            refused(args![&floats, &floats, 1_i64 << 31, 1.0_f32]),
            "more than an int"
        );
        assert!(
            refused(args![&floats, &floats, 4.0_f32, 1.0_f32]),
            "a real for a whole number"
        );
        assert!(
            refused(args![&floats, 4, 4, 1.0_f32]),
            "a number for an address"
        );
    });
}

/// Runs work whose process the emulated GPU should end, saying this.
fn check_ended(name: &str, expected: &str, work: impl FnOnce(&Device)) {
    if inside() {
        work(&open());
    } else if let Some(folder) = folder() {
        let (done, said) = again(name, folder.as_os_str(), &[]);
        assert!(!done && said.contains(expected), "{said}");
    }
}

#[test]
fn a_read_past_an_array_is_seen() {
    let expected = ", 0 bytes past the end of an allocation of";
    check_ended("device::a_read_past_an_array_is_seen", expected, |device| {
        let out = device.zeros::<f32>("activations", 64).unwrap();
        let x = device.zeros::<f32>("activations", 36).unwrap();
        let args = args![&out, &x, 37, 1.0_f32];
        probe(device).launch("scale_all", 1, 64, 0, args).unwrap();
    });
}

#[test]
fn a_write_past_shared_memory_is_seen() {
    let expected = "emulated GPU: a kernel or product reads or writes";
    check_ended(
        "device::a_write_past_shared_memory_is_seen",
        expected,
        |device| {
            let out = device.zeros::<i32>("activations", 1).unwrap();
            probe(device)
                .launch("places", 1, 64, 128, args![&out, 132])
                .unwrap();
        },
    );
}

#[test]
fn recorded_work_is_done_each_time_it_is_asked_for() {
    emulated(&[], || {
        let device = open();
        let program = probe(&device);
        let x = device.upload("activations", &[1.0_f32, 2.0]).unwrap();
        let weights = device.upload("weights", &narrow(&[1.0, 1.0])).unwrap();
        let out = device.zeros::<f32>("activations", 1).unwrap();
        let side = |transposed| Side {
            at: weights.at(0),
            stride: 2,
            transposed,
        };
        let recorder = Recorder::new(&device);
        let graph = recorder
            .record(|| {
                program.launch("scale_all", 1, 2, 0, args![&x, &x, 2, 2.0_f32])?;
                device.gemm(&Product {
                    m: 1,
                    n: 1,
                    k: 2,
                    out: out.at(0),
                    stride: 1,
                    accumulate: true,
                    scale: 1.0,
                    a: side(false),
                    b: side(true),
                })
            })
            .unwrap();
        assert_eq!(x.download().unwrap(), [1.0, 2.0], "recorded and not done");
        graph.launch().unwrap();
        assert_eq!(x.download().unwrap(), [3.0, 5.0]);
        x.write(0, &[0.0]).unwrap();
        graph.launch().unwrap();
        assert_eq!(x.download().unwrap(), [1.0, 11.0]);
        assert_eq!(out.download().unwrap(), [4.0]);

        let failed = recorder.record(|| Err(ModelError::Diverged));
        assert!(matches!(failed, Err(ModelError::Diverged)));
        x.write(0, &[5.0]).unwrap();
        assert_eq!(
            x.download().unwrap()[0],
            5.0,
            "and all goes on after one that failed"
        );
    });
}

#[test]
fn recorded_work_has_arrays_of_its_own_whose_memory_its_records_share() {
    emulated(&[], || {
        let device = open();
        let program = probe(&device);
        let x = device.upload("activations", &[1.0_f32]).unwrap();
        let out = device.zeros::<f32>("activations", 1).unwrap();
        let recorder = Recorder::new(&device);
        let record = |factor: f32| {
            let work = || {
                let made = device.uninitialised::<f32>("activations", 100_000)?;
                program.launch("scale_all", 1, 1, 0, args![&made, &x, 1, factor])?;
                program.launch("scale_all", 1, 1, 0, args![&out, &made, 1, factor])
            };
            recorder.record(work).unwrap()
        };
        let first = record(2.0);
        let (free, _) = device.memory().unwrap();
        let second = record(10.0);
        assert_eq!(
            device.memory().unwrap().0,
            free,
            "they have the same memory"
        );
        // Nobody else gets it.
        let other = device.zeros::<f32>("activations", 100_000).unwrap();
        for (graph, expected) in [(&first, 7.0), (&second, 111.0), (&first, 7.0)] {
            graph.launch().unwrap();
            assert_eq!(out.download().unwrap(), [expected]);
        }
        assert_eq!(other.download().unwrap(), [0.0; 100_000]);
        drop((recorder, first));
        second.launch().unwrap();
        assert_eq!(
            out.download().unwrap(),
            [111.0],
            "a graph keeps what it needs"
        );
    });
}

#[test]
fn clones_of_a_device_work_from_any_thread() {
    emulated(&[], || {
        let device = open();
        let sums = std::thread::scope(|threads| {
            let started: Vec<_> = (0..4)
                .map(|i| {
                    let device = device.clone();
                    threads.spawn(move || {
                        let x = device.upload("activations", &[i as f32]).unwrap();
                        probe(&device)
                            .launch("scale_all", 1, 1, 0, args![&x, &x, 1, 1.0_f32])
                            .unwrap();
                        x.download().unwrap()[0]
                    })
                })
                .collect();
            started
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<f32>()
        });
        assert_eq!(sums, 10.0);
    });
}

#[test]
fn kernels_are_compiled_once_for_each_set_of_names() {
    emulated(&[], || {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::open(0, &folder.path().join("kept")).unwrap();
        let files = || std::fs::read_dir(folder.path().join("kept")).map_or(0, Iterator::count);
        for (offset, expected) in [(1, 1), (1, 1), (2, 2)] {
            let program = device.program(PROBE, &[("OFFSET", offset)]).unwrap();
            assert_eq!(files(), expected);
            let x = device.upload("activations", &[1.0_f32]).unwrap();
            program
                .launch("scale_all", 1, 1, 0, args![&x, &x, 1, 1.0_f32])
                .unwrap();
            assert_eq!(x.download().unwrap(), [1.0 + offset as f32]);
        }
    });
}

#[test]
fn what_no_graph_can_hold_is_not_recorded() {
    emulated(&[], || {
        let device = open();
        let x = device.zeros::<f32>("activations", 1).unwrap();
        let refused = |work: &dyn Fn() -> Result<(), ModelError>| {
            let record = || Recorder::new(&device).record(work).map(drop);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(record)).is_err()
        };
        let left = std::cell::Cell::new(None);
        assert!(refused(&|| x.write(0, &[1.0])));
        assert!(refused(&|| x.download().map(drop)));
        assert!(refused(&|| {
            left.set(Some(device.zeros::<f32>("activations", 1)?));
            Ok(())
        }));
        std::mem::forget(left.take());
        assert!(!refused(&|| x.clear()), "and all goes on");
        assert_eq!(x.download().unwrap(), [0.0]);
    });
}
