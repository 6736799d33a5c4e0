# Tab completion of options in fish: `source docs/completion.fish` in the repository's root, with the virtual environment
# active. It asks Hydra what fits, which takes half a second.

function _attention_options
    set -l words (commandline -opc)
    # Hydra takes the words after the program, here called "options", and gives those that may follow.
    set -lx COMP_LINE options (string join -- ' ' $words[4..-1] (commandline -ct))
    set COMP_LINE (string join -- ' ' $COMP_LINE)
    $words[1] -m $words[3] --shell-completion query=fish 2>/dev/null
end

for program in python python3
    complete -c $program -f -n '__fish_seen_subcommand_from src.train src.describe src.profile' -a '(_attention_options)'
end
