use super::{
    args::Global,
    exit::{Error, Exit},
};
pub fn doctor(_global: &Global) -> Result<Exit, Error> {
    Ok(Exit::Done)
}
