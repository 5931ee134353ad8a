//! /etc/passwd and /etc/group: `name:x:id:...` in both.

fn entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        (!name.is_empty()).then_some((name, id))
    })
}

pub fn name_of(text: &str, id: u32) -> Option<&str> {
    entries(text).find(|(_, found)| *found == id).map(|(name, _)| name)
}

pub fn id_of(text: &str, name: &str) -> Option<u32> {
    entries(text).find(|(found, _)| *found == name).map(|(_, id)| id)
}

/// A user's home and main group.
pub fn home_of<'a>(passwd: &'a str, name: &str) -> Option<(&'a str, u32)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [found, _, _, group, _, home, ..] if *found == name => {
                Some((*home, group.parse().ok()?))
            }
            _ => None,
        }
    })
}

/// The groups that name a user as a member.
pub fn groups_of<'a>(group: &'a str, user: &'a str) -> Vec<&'a str> {
    group
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [name, _, _, members] => members.split(',').any(|m| m == user).then_some(*name),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0::/root:/usr/bin/bash\nbad\n:x:1:1\nme:x:1000:998:Me:/home/me:/bin/sh\n";
    const GROUP: &str = "root:x:0:root\nwheel:x:998:me,you\nvideo:x:985:\n";

    #[test]
    fn names_and_numbers() {
        assert_eq!(name_of(PASSWD, 1000), Some("me"));
        assert_eq!(name_of(PASSWD, 1), None);
        assert_eq!(id_of(GROUP, "wheel"), Some(998));
        assert_eq!(home_of(PASSWD, "me"), Some(("/home/me", 998)));
        assert_eq!(groups_of(GROUP, "me"), ["wheel"]);
        assert_eq!(groups_of("\n:::\nx:y", "me"), Vec::<&str>::new());
    }
}
