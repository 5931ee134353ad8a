use super::{
    args::Global,
    exit::{Error, Exit},
};
pub fn status(_global: &Global) -> Result<Exit, Error> {
    Ok(Exit::Done)
}
