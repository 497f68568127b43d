//! The only piece of JSON that needs care.

use std::fmt::Write;

pub fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => write!(json, "\\u{:04x}", character as u32).expect("a String takes it"),
            _ => json.push(character),
        }
    }
    json + "\""
}
