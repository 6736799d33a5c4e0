# Tab completion of options in bash and zsh: `source docs/completion.bash` in the repository's root, with the virtual
# environment active. It asks Hydra what fits, which takes half a second.

_attention_options() {
    local command=${COMP_WORDS[0]} module=${COMP_WORDS[2]} word=${COMP_WORDS[COMP_CWORD]}
    case "${COMP_WORDS[1]} $module" in
        "-m src.train" | "-m src.describe" | "-m src.profile") ;;
        *) return 1 ;;
    esac
    # Hydra takes the words after the program, here called "options", and gives those that may follow.
    local line="options ${COMP_LINE#*"$module" }"
    COMPREPLY=($(compgen -W "$(COMP_LINE=$line "$command" -m "$module" --shell-completion query=bash 2> /dev/null)" -- "$word"))
}

if [ -n "$ZSH_VERSION" ]; then
    autoload -Uz compinit bashcompinit && compinit && bashcompinit
fi
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}  # so that attention=acmix is one word
complete -o nospace -o default -F _attention_options python python3
