//! What is wrong with a machine, a card or a request is an error that says what to do, and never
//! a panic: each on an emulated GPU that is wrong in this way.

use model::ModelError;
use model::args;
use model::cuda::{Device, Source};

use crate::emulated::{LIBRARIES, cubins, emulated, emulated_with};

fn open() -> Result<Device, ModelError> {
    Device::open(0, &cubins())
}

/// Checks what opening a card says.
fn check(ordinal: usize, expected: &str) {
    let Err(error) = Device::open(ordinal, &cubins()) else {
        panic!("expected: {expected}")
    };
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_machine_without_a_driver_says_so() {
    match Device::open(0, std::path::Path::new("nowhere")) {
        Err(error) => assert_eq!(error.to_string(), NO_DRIVER),
        Ok(_) => println!("skipped: this machine has a GPU"),
    }
}

const NO_DRIVER: &str = "\
there is no NVIDIA driver: `libcuda.so`, `libcuda.so.1` cannot be loaded
hint: install the driver of the card (`nvidia-smi` then lists it), or run on the CPU; a container \
needs the host's driver (`docker run --gpus all`)";

#[test]
fn a_driver_that_is_too_old_is_refused() {
    emulated(&[("EMULATED_CUDA_VERSION", "11080")], || {
        check(
            0,
            "the NVIDIA driver is for CUDA 11.8, expected 12.0 or newer\n\
             hint: update the driver, to 525.60 or newer",
        );
    });
}

#[test]
fn a_driver_that_does_not_start_says_why() {
    emulated(&[("EMULATED_CUDA_INIT", "100")], || {
        check(
            0,
            "CUDA cannot start: CUDA_ERROR_NO_DEVICE (as the emulated driver was told)\n\
             hint: `nvidia-smi` lists the cards of this machine; CUDA_VISIBLE_DEVICES may hide \
             them, and a container sees none unless it is started with them",
        );
    });
}

#[test]
fn the_toolkits_stub_is_told_from_a_driver() {
    emulated(&[("EMULATED_CUDA_INIT", "34")], || {
        let error = open().err().expect("a stub starts nothing").to_string();
        assert!(
            error.contains("take its folder out of LD_LIBRARY_PATH"),
            "{error}"
        );
    });
}

#[test]
fn a_card_that_is_not_there_is_told_by_those_that_are() {
    emulated(&[("EMULATED_CUDA_DEVICES", "2")], || {
        check(
            2,
            "there is no GPU 2: the driver sees GPUs 0 to 1\n\
             hint: choose one of those; CUDA_VISIBLE_DEVICES in the environment hides all but \
             those that it lists",
        );
        check_begins(
            usize::MAX,
            "there is no GPU 18446744073709551615: the driver sees GPUs 0 to 1\n",
        );
        Device::open(1, &cubins()).unwrap();
    });
}

#[test]
fn no_card_at_all_is_said() {
    emulated(&[("EMULATED_CUDA_DEVICES", "0")], || {
        check_begins(0, "there is no GPU 0: the driver sees no GPU\n");
    });
}

fn check_begins(ordinal: usize, expected: &str) {
    let error = Device::open(ordinal, &cubins())
        .err()
        .expect("it is refused")
        .to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_card_without_bf16_is_refused() {
    emulated(&[("EMULATED_CUDA_CAPABILITY", "75")], || {
        check(
            0,
            "Emulated GPU cannot multiply bf16: its compute capability is 7.5, expected 8.0 or \
             higher\n\
             hint: use an NVIDIA card of 2020 or newer (A100, RTX 30, L4, H100 and later), or run \
             on the CPU",
        );
    });
}

const INSTALL: &str = "\
hint: `pip install nvidia-cuda-nvrtc-cu12 nvidia-cublas-cu12` has both NVRTC and cuBLASLt; put \
their folders, `…/site-packages/nvidia/cuda_nvrtc/lib` and `…/site-packages/nvidia/cublas/lib`, \
into LD_LIBRARY_PATH";

#[test]
fn libraries_that_are_missing_are_named_with_where_they_come_from() {
    emulated_with(&["libcuda.so"], &[], || {
        check(
            0,
            &format!(
                "NVRTC, which compiles the kernels, is not found: `libnvrtc.so`, `libnvrtc.so.12` \
                 cannot be loaded\n{INSTALL}"
            ),
        );
    });
}

#[test]
fn a_missing_library_of_products_is_named_too() {
    emulated_with(&["libcuda.so", "libnvrtc.so"], &[], || {
        check(
            0,
            &format!(
                "cuBLASLt, which multiplies matrices, is not found: `libcublasLt.so`, \
                 `libcublasLt.so.12` cannot be loaded\n{INSTALL}"
            ),
        );
    });
}

#[test]
fn libraries_that_are_too_old_are_refused() {
    emulated(&[("EMULATED_NVRTC_VERSION", "11060")], || {
        check(
            0,
            &format!("NVRTC is version 11.6, expected 12.0 or newer\n{INSTALL}"),
        );
    });
}

#[test]
fn an_old_library_of_products_is_refused_too() {
    emulated(&[("EMULATED_CUBLASLT_VERSION", "111103")], || {
        check(
            0,
            &format!("cuBLASLt is version 11.11, expected 12.0 or newer\n{INSTALL}"),
        );
    });
}

#[test]
fn a_card_that_compilers_do_not_know_yet_says_what_would() {
    emulated(&[("EMULATED_CUDA_CAPABILITY", "103")], || {
        let device = open().unwrap();
        let error = device
            .program(ANY, &[])
            .err()
            .expect("nothing is compiled")
            .to_string();
        let expected = "NVRTC cannot compile `any.cu`: NVRTC_ERROR_INVALID_OPTION\n\
                        nvrtc: error: invalid value for --gpu-architecture=sm_103\n\
                        hint: a card newer than NVRTC knows needs a newer NVRTC";
        assert!(error.starts_with(expected), "{error}");
    });
}

const ANY: Source = Source {
    name: "any.cu",
    text: "extern \"C\" __global__ void nothing(float* x) { x[0] = 1; }",
};

#[test]
fn a_source_that_is_wrong_is_shown_where() {
    emulated(&[], || {
        let wrong = Source {
            name: "wrong.cu",
            text: "extern \"C\" __global__ void nothing() {\n    nowhere = 1;\n}",
        };
        let error = open()
            .unwrap()
            .program(wrong, &[])
            .err()
            .expect("it is refused")
            .to_string();
        assert!(
            error.starts_with("NVRTC cannot compile `wrong.cu`: NVRTC_ERROR_COMPILATION\n"),
            "{error}"
        );
        assert!(error.contains("wrong.cu:2"), "{error}");
    });
}

#[test]
fn too_little_memory_is_told_with_who_has_it() {
    let settings = [
        ("EMULATED_CUDA_MEMORY", "1073741824"),
        ("EMULATED_CUDA_OTHERS", "134217728"),
    ];
    emulated(&settings, || {
        let device = open().unwrap();
        let mib = 1 << 18;
        let _weights = device.zeros::<f32>("weights", 256 * mib).unwrap();
        let _moments = device.zeros::<f32>("moments", 512 * mib).unwrap();
        let error = device
            .zeros::<f32>("activations", 128 * mib)
            .err()
            .expect("it is full");
        assert_eq!(
            error.to_string(),
            "Emulated GPU has no memory for activations: 0.12 GiB asked for, 0.09 free of 1.00\n  \
             \u{20}   0.50 GiB  moments\n  \
             \u{20}   0.25 GiB  weights\n  \
             \u{20}   0.12 GiB  other processes, and CUDA itself\n  \
             \u{20}   0.03 GiB  workspace\n\
             hint: train an adapter (`[lora]`), which needs little of its own"
        );
        device.zeros::<f32>("activations", 64 * mib).unwrap();
    });
}

#[test]
fn what_is_spare_goes_back_to_the_card_before_memory_is_refused() {
    emulated(&[("EMULATED_CUDA_MEMORY", "1073741824")], || {
        let device = open().unwrap();
        let mib = 1 << 18;
        for mibs in [300, 500, 900] {
            device.zeros::<f32>("activations", mibs * mib).unwrap();
        }
    });
}

#[test]
fn a_card_that_another_process_has_filled_is_told_at_once() {
    emulated(&[("EMULATED_CUDA_OTHERS", "4294967296")], || {
        check(
            0,
            "CUDA cannot open GPU 0 (Emulated GPU): CUDA_ERROR_OUT_OF_MEMORY (as the emulated \
             driver was told)\n\
             hint: other processes have this card's memory: `nvidia-smi` says which",
        );
    });
}

#[test]
fn a_card_that_another_process_has_nearly_filled_says_so() {
    emulated(&[("EMULATED_CUDA_OTHERS", "4290000000")], || {
        check(
            0,
            "Emulated GPU has no memory for workspace: 0.03 GiB asked for, 0.00 free of 4.00\n  \
             \u{20}   4.00 GiB  other processes, and CUDA itself\n\
             hint: `nvidia-smi` says which processes have the card's memory: wait for them, or end \
             them",
        );
    });
}

#[test]
fn a_card_that_fails_is_an_error_wherever_it_is_noticed() {
    emulated(&[("EMULATED_CUDA_FAILS_AT", "2")], || {
        let device = open().unwrap();
        let program = device.program(ANY, &[]).unwrap();
        let x = device.zeros::<f32>("activations", 1).unwrap();
        program.launch("nothing", 1, 1, 0, args![&x]).unwrap();
        assert_eq!(x.download().unwrap(), [1.0]);
        program.launch("nothing", 1, 1, 0, args![&x]).unwrap();
        for error in [
            x.download().unwrap_err(),
            x.write(0, &[1.0]).unwrap_err(),
            program.launch("nothing", 1, 1, 0, args![&x]).unwrap_err(),
            device
                .zeros::<f32>("activations", 1 << 20)
                .err()
                .expect("nothing works any more"),
            device.memory().unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(
                text.contains("CUDA_ERROR_ILLEGAL_ADDRESS") && text.contains("hint: a kernel"),
                "{text}"
            );
        }
    });
}

#[test]
fn every_library_alone_can_be_missing() {
    for missing in LIBRARIES {
        let there: Vec<_> = LIBRARIES
            .into_iter()
            .filter(|&library| library != missing)
            .collect();
        emulated_with(&there, &[], || {
            assert!(open().is_err(), "and no panic");
        });
    }
}
