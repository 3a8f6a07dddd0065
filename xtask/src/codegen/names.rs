//! Kafka's names as Rust writes them.

/// Words that Rust keeps for itself.
const KEYWORDS: [&str; 8] = ["type", "match", "ref", "move", "self", "use", "loop", "final"];

/// `TopicId` becomes `topic_id`, `Type` becomes `type_`.
pub(super) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.replace("KRaft", "Kraft").chars().collect();
    let mut snake = String::new();
    for (index, letter) in letters.iter().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            let after_small = !letters[index - 1].is_ascii_uppercase();
            let before_small = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
            if after_small || before_small {
                snake.push('_');
            }
        }
        snake.push(letter.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&snake.as_str()) {
        snake.push('_');
    }
    snake
}

/// `remote_log` becomes `RemoteLog`.
pub(super) fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::{camel, snake};

    #[test]
    fn words_are_found_in_camel_case() {
        for (name, expect) in [
            ("TopicId", "topic_id"),
            ("topicId", "topic_id"),
            ("ISRNodes", "isr_nodes"),
            ("KRaftVersion", "kraft_version"),
            ("Type", "type_"),
        ] {
            assert_eq!(snake(name), expect);
        }
        assert_eq!(camel("remote_log"), "RemoteLog");
    }
}
