//! Who this machine says it is.

/// The host name, as the kernel has it.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
