//! Kernels: compiled by NVRTC for the card that is there, and launched with arguments that are
//! held to what their source says.
#![expect(unsafe_code, reason = "libraries of C")]

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use cudarc::driver::sys::CUfunction_attribute;
use cudarc::driver::{CudaFunction, result};
use cudarc::nvrtc::Ptx;
use cudarc::nvrtc::result::{self as nvrtc, NvrtcError};
use cudarc::nvrtc::sys;

use super::failure::{failed, gpu};
use super::kernels::PRELUDE;
use super::signature::{Parameter, Signature, signatures};
use super::{Address, Array, Device, Number, cubins, libraries};
use crate::ModelError;

/// More arguments than any kernel takes.
const MOST_ARGS: usize = 32;

/// CUDA C++ that is compiled behind the prelude.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What compilers call it when they complain.
    pub name: &'static str,
    /// The source.
    pub text: &'static str,
}

/// The kernels of one source, on one card.
pub struct Program {
    device: Device,
    kernels: HashMap<String, Kernel>,
}

struct Kernel {
    function: CudaFunction,
    parameters: Vec<Parameter>,
    /// Bytes of shared memory that were asked for, beside what its source declares. 48 KiB of both
    /// together need no asking, but who knows how much the source declares.
    shared: AtomicUsize,
}

/// How many blocks: in x, and in y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid(pub usize, pub usize);

impl From<usize> for Grid {
    fn from(x: usize) -> Self {
        Self(x, 1)
    }
}

impl From<(usize, usize)> for Grid {
    fn from((x, y): (usize, usize)) -> Self {
        Self(x, y)
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A place in the card's memory.
    Address(Address),
    /// A whole number, which the kernel takes as `int` or `long long`.
    Integer(i64),
    /// A number, which the kernel takes as `float` or `double`.
    Real(f64),
}

impl From<Address> for Arg {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl<T: Number> From<&Array<T>> for Arg {
    fn from(array: &Array<T>) -> Self {
        Self::Address(array.at(0))
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self::Integer(number as i64)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Arg {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<f32> for Arg {
    fn from(number: f32) -> Self {
        Self::Real(number.into())
    }
}

impl Device {
    /// The kernels of a source, for this card and with such names defined.
    ///
    /// # Errors
    /// If NVRTC refuses it, or the folder of compiled kernels cannot be used.
    pub fn program(
        &self,
        source: Source,
        defines: &[(&str, usize)],
    ) -> Result<Program, ModelError> {
        self.load(source, self.compile(source, defines)?)
    }

    /// What this card executes of a source: compiled now, or taken from disk.
    ///
    /// # Errors
    /// If NVRTC refuses it, or the folder of compiled kernels cannot be used.
    pub fn compile(
        &self,
        source: Source,
        defines: &[(&str, usize)],
    ) -> Result<Vec<u8>, ModelError> {
        let (major, minor) = self.capability();
        let mut options = vec![
            format!("--gpu-architecture=sm_{major}{minor}"),
            "--std=c++17".to_owned(),
        ];
        options.extend(
            defines
                .iter()
                .map(|(name, value)| format!("-D{name}={value}")),
        );
        let version = libraries::written(self.0.compiler);
        let inputs: Vec<&str> = [version.as_str(), PRELUDE, source.text]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .collect();
        cubins::cached(&self.0.cubins, &inputs, || compile(source, &options))
    }

    fn load(&self, source: Source, cubin: Vec<u8>) -> Result<Program, ModelError> {
        let trying = format!("load the kernels of `{}`", source.name);
        let module = self
            .0
            .context
            .load_module(Ptx::from_binary(cubin))
            .map_err(failed(&trying))?;
        let kernel = |Signature { name, parameters }| {
            let trying = format!("find the kernel `{name}` of `{}`", source.name);
            let kernel = Kernel {
                function: module.load_function(&name).map_err(failed(&trying))?,
                parameters,
                shared: AtomicUsize::new(0),
            };
            Ok((name, kernel))
        };
        let kernels: Result<_, ModelError> =
            signatures(source.text).into_iter().map(kernel).collect();
        Ok(Program {
            device: self.clone(),
            kernels: kernels?,
        })
    }
}

impl Program {
    /// What its kernels are called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kernels.keys().map(String::as_str)
    }

    /// Asks for a kernel to be run by `grid` blocks of `block` threads, each block with so many
    /// bytes of shared memory beside what its source declares. A grid of no blocks runs nothing.
    ///
    /// # Errors
    /// If the card cannot run such a grid, or work before this has failed.
    ///
    /// # Panics
    /// If there is no such kernel, or it takes other arguments.
    pub fn launch(
        &self,
        name: &str,
        grid: impl Into<Grid>,
        block: usize,
        shared: usize,
        args: &[Arg],
    ) -> Result<(), ModelError> {
        let kernel = self
            .kernels
            .get(name)
            .unwrap_or_else(|| panic!("there is no kernel `{name}`"));
        let mut values = [0; MOST_ARGS];
        kernel.take(name, args, &mut values);
        let Grid(x, y) = grid.into();
        if x == 0 || y == 0 {
            return Ok(());
        }
        assert!(
            x <= i32::MAX as usize,
            "`{name}`: {x} blocks are more than any card runs"
        );
        let trying = || format!("launch `{name}` with {x}x{y} blocks of {block} threads");
        if shared > kernel.shared.load(Ordering::Relaxed) {
            kernel
                .function
                .set_attribute(
                    CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    shared as c_int,
                )
                .map_err(|error| failed(&trying())(error))?;
            kernel.shared.store(shared, Ordering::Relaxed);
        }
        let stream = self.device.bound_stream()?;
        let mut places = values
            .each_mut()
            .map(|value: &mut u64| (&raw mut *value).cast::<c_void>());
        // SAFETY: there are as many arguments as the kernel's source declares, each of its type,
        // and they are read before the call returns. Arrays that they point to stay the card's
        // memory at least until the stream has passed this launch, since what is freed is only
        // used again by work behind it. What the kernel does with them no signature says:
        // emulation checks each access.
        unsafe {
            result::launch_kernel(
                kernel.function.cu_function(),
                (x as u32, y as u32, 1),
                (block as u32, 1, 1),
                shared as u32,
                stream,
                &mut places[..args.len()],
            )
        }
        .map_err(|error| failed(&trying())(error))
    }
}

impl Kernel {
    /// The arguments as the kernel takes them, each in the low bytes of its value.
    fn take(&self, name: &str, args: &[Arg], values: &mut [u64; MOST_ARGS]) {
        assert_eq!(
            args.len(),
            self.parameters.len(),
            "`{name}` takes {:?}, given {args:?}",
            self.parameters
        );
        for (i, (arg, parameter)) in args.iter().zip(&self.parameters).enumerate() {
            values[i] = arg.value(parameter).unwrap_or_else(|| {
                panic!("argument {i} of `{name}` is {parameter:?}, given {arg:?}")
            });
        }
    }
}

impl Arg {
    /// The bits of this argument for such a parameter, if it is one.
    fn value(&self, parameter: &Parameter) -> Option<u64> {
        match (self, parameter) {
            (Self::Address(Address::NONE), Parameter::Address(_)) => Some(0),
            (Self::Address(address), Parameter::Address(number)) => {
                (address.number == number).then_some(address.value)
            }
            (Self::Integer(value), Parameter::Number(number)) => match number.as_str() {
                "int" => Some(u64::from(i32::try_from(*value).ok()?.cast_unsigned())),
                "long long" => Some(value.cast_unsigned()),
                _ => None,
            },
            (Self::Real(value), Parameter::Number(number)) => match number.as_str() {
                "float" => Some(u64::from((*value as f32).to_bits())),
                "double" => Some(value.to_bits()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Compiles a source to what the card executes.
fn compile(source: Source, options: &[String]) -> Result<Vec<u8>, ModelError> {
    let text = format!("{PRELUDE}\n#line 1 \"{}\"\n{}", source.name, source.text);
    let text = CString::new(text).expect("sources have no zero bytes");
    let name = CString::new(source.name).expect("names have no zero bytes");
    let begun =
        nvrtc::create_program(&text, Some(&name)).map_err(refused(source, String::new()))?;
    let begun = Compilation(begun);
    // SAFETY: the program was just begun, and ends with this function; its text outlives it.
    unsafe {
        nvrtc::compile_program(begun.0, options).map_err(|error| {
            let log = nvrtc::get_program_log(begun.0).unwrap_or_default();
            let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
            let log = String::from_utf8_lossy(&log)
                .trim_matches(['\0', '\n'])
                .to_owned();
            refused(source, log)(error)
        })?;
        let mut bytes = 0;
        sys::nvrtcGetCUBINSize(begun.0, &raw mut bytes)
            .result()
            .map_err(refused(source, String::new()))?;
        let mut cubin = vec![0_u8; bytes];
        sys::nvrtcGetCUBIN(begun.0, cubin.as_mut_ptr().cast())
            .result()
            .map_err(refused(source, String::new()))?;
        Ok(cubin)
    }
}

/// A program of NVRTC's.
struct Compilation(sys::nvrtcProgram);

impl Drop for Compilation {
    fn drop(&mut self) {
        // SAFETY: it was made once, and is destroyed once.
        let _ = unsafe { nvrtc::destroy_program(self.0) };
    }
}

fn refused(source: Source, log: String) -> impl FnOnce(NvrtcError) -> ModelError {
    move |error| {
        gpu(
            format!(
                "NVRTC cannot compile `{}`: {:?}\n{log}",
                source.name, error.0
            )
            .trim_end()
            .to_owned(),
            "a card newer than NVRTC knows needs a newer NVRTC (`pip install --upgrade \
             nvidia-cuda-nvrtc-cu12`); otherwise report this",
        )
    }
}
